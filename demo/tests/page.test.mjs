// The page itself: how it is served, how large it is, and whether it can be used in every way.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { Server, until } from '../../server/tests/clients/harness.mjs'
import { launch, Person, TITLES } from './browser.mjs'

const ASSETS = path.resolve(import.meta.dirname, '../dist/assets')

test('the bundle has one copy of Yjs', () => {
  // Yjs itself says this when it is loaded twice.
  const warning = 'Yjs was already imported'
  const copies = fs.readdirSync(ASSETS).filter(name => name.endsWith('.js')).flatMap(name => fs.readFileSync(path.join(ASSETS, name), 'utf8').split(warning).slice(1))
  assert.equal(copies.length, 1)
})

test('the page with its first editor is less than 200 KB', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada')
  const sizes = await ada.page.evaluate(() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].map(({ name, encodedBodySize }) => [name, encodedBodySize]))
  const total = sizes.reduce((sum, [, size]) => sum + size, 0)
  t.diagnostic(`${total} bytes: ${sizes.map(([name, size]) => `${new URL(name).pathname} ${size}`).join(', ')}`)
  assert.ok(total > 20_000 && total < 200_000, `${total}`)
})

test('files are served with their types, compressed as asked, for ever where the name says so, and never twice', async t => {
  const server = await Server.start(t)
  const get = (path, headers = {}) => fetch(server.http + path, { headers: { 'accept-encoding': 'identity', ...headers } })
  const page = await get('/')
  assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8')
  assert.equal(page.headers.get('cache-control'), 'no-cache')
  assert.match(page.headers.get('content-security-policy'), /default-src 'none'; script-src 'self'; .*frame-ancestors 'none'/)
  assert.equal(page.headers.get('x-content-type-options'), 'nosniff')
  const script = (await page.text()).match(/src="(\/assets\/[^"]+\.js)"/)[1]
  const plain = await (await get(script)).text()
  for (const coding of ['br', 'gzip']) {
    const answer = await get(script, { 'accept-encoding': coding })
    assert.equal(answer.headers.get('content-encoding'), coding)
    assert.equal(answer.headers.get('content-type'), 'text/javascript; charset=utf-8')
    assert.equal(answer.headers.get('cache-control'), 'public, max-age=31536000, immutable')
    assert.ok(Number(answer.headers.get('content-length')) < plain.length / 2)
    assert.equal(await answer.text(), plain)
  }
  assert.equal((await get('/', { 'if-none-match': page.headers.get('etag') })).status, 304)
  assert.equal((await get('/assets/none.js')).status, 404)
  assert.equal((await fetch(server.http, { method: 'POST' })).status, 405)
  assert.equal((await fetch(server.http, { method: 'HEAD' })).status, 200)
})

test('names and colours are chosen once, and others see the new ones', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  // Colours that differ, so that neither is given another one by chance.
  const ada = await Person.open(t, browser, server, 'r', 'Ada')
  const grace = await Person.open(t, browser, server, 'r', 'Grace', { color: '#d6336c' })
  await ada.type('codemirror', 'x')
  await grace.says(grace.page.locator('.cm-ySelectionInfo'), 'Ada')
  await ada.page.getByRole('button', { name: /^You, Ada/ }).click()
  await ada.page.getByLabel('Name', { exact: true }).fill('  Countess \n of Lovelace ')
  await ada.page.getByLabel('green').check()
  await ada.press('Enter')
  await grace.page.getByRole('button', { name: 'Follow Countess of Lovelace, in CodeMirror' }).waitFor()
  await ada.type('codemirror', 'y')
  await grace.says(grace.page.locator('.cm-ySelectionInfo'), 'Countess of Lovelace')
  assert.equal(await grace.page.locator('.cm-ySelectionCaret').evaluate(element => getComputedStyle(element).borderLeftColor), 'rgb(65, 133, 9)')
  await ada.reload()
  await ada.page.getByRole('button', { name: /^You, Countess of Lovelace/ }).waitFor()
  assert.deepEqual([...ada.complaints, ...grace.complaints], [])
})

test('two windows of one browser that has not been named are two people', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const first = await Person.open(t, browser, server, 'r', null)
  const [page] = await Promise.all([first.context.waitForEvent('page'), first.page.getByRole('link', { name: 'Second window' }).click()])
  await page.locator('#panel-codemirror[data-ready]').waitFor()
  await page.locator('.cm-content').click()
  await page.keyboard.type('hello')
  await until('the first window has it', async () => await first.text('codemirror') === 'hello')
  assert.equal(await first.page.locator('.avatar').count(), 2)
  assert.deepEqual(first.complaints, [])
})

test('what somebody is about to click stays where it is while the others move about', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const [ada, grace] = [await Person.open(t, browser, server, 'r', 'Ada'), await Person.open(t, browser, server, 'r', 'Grace')]
  const { mouse } = ada.page
  const places = () => ada.page.getByRole('tab').evaluateAll(tabs => tabs.map(tab => tab.getBoundingClientRect().x))
  const graceIsIn = editor => Promise.all([
    ada.page.getByRole('button', { name: `Follow Grace, in ${TITLES[editor]}` }).waitFor(),
    ada.page.locator(`#tab-${editor}[title$="Grace is here"] .dots i`).waitFor(),
  ])
  await graceIsIn('codemirror')
  const before = await places()
  await grace.go('quill')
  await graceIsIn('quill')
  assert.deepEqual(await places(), before)

  // With the button held down on Grace's dot while she leaves, it is a click all the same.
  const dot = await ada.page.locator('#tab-quill .dots i').boundingBox()
  await mouse.move(dot.x + dot.width / 2, dot.y + dot.height / 2)
  await mouse.down()
  await grace.go('tiptap')
  await graceIsIn('tiptap')
  await mouse.up()
  await ada.ready('quill')
  assert.deepEqual(await places(), before)

  // And so it is on what is called otherwise by the time the button is let go.
  await ada.page.getByRole('button', { name: 'Follow Grace' }).hover()
  await mouse.down()
  await grace.go('monaco')
  await graceIsIn('monaco')
  await mouse.up()
  await ada.page.getByRole('button', { name: 'Stop following Grace', pressed: true }).waitFor()
  await ada.ready('monaco')
  assert.deepEqual([...ada.complaints, ...grace.complaints], [])
})

test('everything is reached by keyboard', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada')
  await ada.connected()
  const focused = () => ada.page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim())
  const seen = []
  for (let more = 0; more < 12; more++) {
    await ada.press('Tab')
    seen.push(await focused())
  }
  for (const name of ['Copy link to this room', 'Second window', 'Light or dark', 'CodeMirror', 'Markdown', 'Cut the connection', 'Under the hood']) assert.ok(seen.includes(name), `${name} in ${seen}`)
  await ada.page.getByRole('tab', { name: 'CodeMirror' }).focus()
  for (const editor of [...Object.keys(TITLES).slice(1), 'codemirror']) {
    await ada.press('ArrowRight')
    await ada.page.getByRole('tab', { name: TITLES[editor], selected: true }).and(ada.page.locator(':focus')).waitFor()
    await ada.ready(editor)
  }
  assert.equal(await ada.page.getByRole('status').textContent(), 'Connected')
  assert.deepEqual(ada.complaints, [])
})

test('it fits a phone, in light and dark', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  for (const dark of [false, true]) {
    const ada = await Person.open(t, browser, server, 'a-room-with-a-rather-long-name-42', 'Ada', { phone: true, dark })
    await ada.connected()
    for (const editor of Object.keys(TITLES)) {
      await ada.go(editor)
      const { wide, high } = await ada.page.locator(`#panel-${editor}`).evaluate(panel => ({ wide: document.documentElement.scrollWidth, high: panel.clientHeight }))
      assert.ok(wide <= 360, `${editor} is ${wide} wide`)
      assert.ok(high >= 300, `${editor} is ${high} high`)
    }
    await ada.screenshot(`phone-${dark ? 'dark' : 'light'}`)
    assert.deepEqual(ada.complaints, [])
  }
})

test('the theme is as the system has it, until somebody chooses', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada', { dark: true })
  const ground = () => ada.page.evaluate(() => getComputedStyle(document.body).backgroundColor)
  assert.equal(await ground(), 'rgb(17, 19, 24)')
  await ada.page.getByRole('button', { name: 'Light or dark' }).click()
  assert.equal(await ground(), 'rgb(245, 244, 241)')
  await ada.reload()
  await ada.ready('codemirror')
  assert.equal(await ground(), 'rgb(245, 244, 241)')
  assert.deepEqual(ada.complaints, [])
})

test('the curious see what goes over the wire', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const [ada, grace] = [await Person.open(t, browser, server, 'r', 'Ada'), await Person.open(t, browser, server, 'r', 'Grace')]
  await ada.page.getByText('Under the hood').click()
  await grace.type('codemirror', 'something to measure', { delay: 60 })
  const value = name => ada.page.locator('.panel dl div').filter({ hasText: name }).locator('dd').textContent()
  await until('the numbers are there', async () => await value('Clients in it') === '2' && /ms$/.test(await value('Round trip')) && parseInt(await value('Size')) > 20)
  await until('messages come in', async () => parseInt(await value('Messages in')) > 0)
  assert.match(await value('Received'), /B$/)
  assert.equal(await value('Document'), 'r/codemirror')
  assert.deepEqual(ada.complaints, [])
})
