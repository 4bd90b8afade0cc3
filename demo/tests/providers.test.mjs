// One document through different providers: y-websocket in one window, Hocuspocus in the other.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server, until } from '../../server/tests/clients/harness.mjs'
import { gone, HOCUSPOCUS, launch, Person, sameText, withBoth } from './browser.mjs'

/** Where the editors show the names of others. */
const NAMES = { codemirror: '.cm-ySelectionInfo', tiptap: '.collaboration-carets__label', quill: '.ql-cursor-name' }

test('two people with different providers see what the other writes, where, and that it is saved', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const [ada, grace] = await withBoth(t, browser, server)
  await ada.page.getByRole('button', { name: 'Follow Grace, in CodeMirror' }).waitFor()
  await grace.page.getByRole('button', { name: 'Follow Ada, in CodeMirror' }).waitFor()
  for (const [editor, name] of Object.entries(NAMES)) {
    await Promise.all([ada.go(editor), grace.go(editor)])
    await ada.type(editor, 'by Ada ')
    await sameText(editor, [ada, grace], 'by Ada')
    await grace.type(editor, 'by Grace ')
    await sameText(editor, [ada, grace], 'by Ada', 'by Grace')
    await grace.page.locator(name).filter({ hasText: 'Ada' }).first().waitFor({ state: 'attached' })
    await ada.page.locator(name).filter({ hasText: 'Grace' }).first().waitFor({ state: 'attached' })
    for (const person of [ada, grace]) await person.isSaved()
  }
  await server.kill()
  for (const { context } of [ada, grace]) await context.close() // so that nobody brings it back
  await server.start()
  for (const [name, options] of [['Edsger', {}], ['Barbara', HOCUSPOCUS]]) {
    const person = await Person.open(t, browser, server, 'r', name, { editor: 'tiptap', ...options })
    await until(`${name} reads it`, async () => /by Ada by Grace/.test(await person.text('tiptap')))
    assert.deepEqual(person.complaints, [])
  }
})

test('who leaves is gone for the other, whichever provider they have', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  for (const leaving of [0, 1]) {
    const people = await withBoth(t, browser, server)
    const [away, stays] = [people[leaving], people[1 - leaving]]
    await stays.page.locator('.avatar').nth(1).waitFor()
    await away.cut()
    await until('gone', async () => await stays.page.locator('.avatar').count() === 1)
    await away.reconnect()
    await until('back', async () => await stays.page.locator('.avatar').count() === 2 && await away.page.locator('.avatar').count() === 2)
    for (const person of people) {
      assert.deepEqual(person.complaints, [])
      await person.context.close()
    }
  }
})

test('either goes offline, edits, and comes back with everything', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const [ada, grace] = await withBoth(t, browser, server)
  await grace.type('codemirror', 'shared. ')
  await sameText('codemirror', [ada, grace], 'shared.')
  for (const person of [ada, grace]) {
    await person.isSaved()
    await person.cut()
    await person.says(person.connection, /^Offline$/)
  }
  await ada.type('codemirror', 'of Ada ')
  await grace.type('codemirror', 'of Grace ')
  await ada.says(ada.saved, /^7 changes waiting, kept in this browser$/)
  await grace.says(grace.saved, /^9 changes waiting, kept in this browser$/)
  await grace.reload()
  await grace.ready('codemirror')
  await grace.says(grace.connection, /^Offline$/)
  assert.match(await grace.text('codemirror'), /of Grace/)
  await grace.reconnect()
  await grace.isSaved()
  await ada.reconnect()
  await sameText('codemirror', [ada, grace], 'shared.', 'of Ada', 'of Grace')
  // At once, while the socket of before is still closing.
  await grace.cut()
  await grace.reconnect()
  await grace.type('codemirror', 'and back')
  await sameText('codemirror', [ada, grace], 'and back')
  for (const person of [ada, grace]) {
    await person.isSaved()
    assert.ok(await person.banner.isHidden())
    assert.deepEqual(person.complaints, [])
  }
})

test('the provider is chosen by keyboard, for this window, and outlives a reload and a new room', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada', { editor: 'quill' })
  const scripts = []
  ada.page.on('request', request => scripts.push(new URL(request.url()).pathname))
  const isCurrent = async title => assert.equal(await ada.provider(title).getAttribute('aria-current'), 'true')
  await ada.connected()
  await isCurrent('y-websocket')
  assert.deepEqual(scripts.filter(path => /hocuspocus/.test(path)), [])
  await ada.type('quill', 'written before. ')
  await ada.provider('Hocuspocus').focus()
  await ada.press('Enter')
  await ada.page.waitForURL(/provider=hocuspocus#quill$/)
  await ada.ready('quill')
  await ada.connected()
  await isCurrent('Hocuspocus')
  assert.ok(scripts.some(path => /hocuspocus/.test(path)))
  await until('it is still there', async () => /written before/.test(await ada.text('quill')))
  await ada.reload()
  await ada.ready('quill')
  await isCurrent('Hocuspocus')
  const link = await ada.page.getByRole('link', { name: 'Second window' }).getAttribute('href')
  assert.equal(link, `${server.http}/?room=r`)
  await ada.page.getByRole('link', { name: 'coscribe' }).click()
  await ada.ready('codemirror')
  await ada.connected()
  await isCurrent('Hocuspocus')
  const [second] = await Promise.all([ada.context.waitForEvent('page'), ada.page.getByRole('link', { name: 'Second window' }).click()])
  await second.locator('#panel-codemirror[data-ready]').waitFor()
  assert.equal(await second.getByRole('link', { name: 'y-websocket' }).getAttribute('aria-current'), 'true')
  await ada.provider('y-websocket').click()
  await ada.page.waitForURL(/provider=y-websocket#codemirror$/)
  await ada.ready('codemirror')
  await ada.connected()
  await isCurrent('y-websocket')
  assert.deepEqual(ada.complaints, [])
})

test('a provider that nobody knows is the usual one, and one that does not load is told', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada', { provider: '<b>' })
  await ada.connected()
  assert.equal(await ada.provider('y-websocket').getAttribute('aria-current'), 'true')
  assert.deepEqual(ada.complaints, [])
  const grace = await Person.open(t, browser, server, 'r', 'Grace', {
    path: '/?room=r&provider=hocuspocus#quill',
    expected: () => true,
    prepare: page => page.route(/hocuspocus-.*js$/, route => route.abort()),
  })
  await grace.says(grace.page.locator('.explain'), 'The provider Hocuspocus could not be loaded')
  await grace.page.getByRole('link', { name: 'Use y-websocket' }).click()
  await grace.ready('quill')
  await grace.connected()
})

test('the choice fits a phone, and shows in light and dark', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  for (const dark of [false, true]) {
    const [ada, grace] = await withBoth(t, browser, server, { dark, size: { width: 360, height: 740 }, editor: 'tiptap' })
    await ada.type('tiptap', `In ${dark ? 'the dark' : 'daylight'}. `)
    await sameText('tiptap', [ada, grace], `In ${dark ? 'the dark' : 'daylight'}`)
    assert.ok(await grace.page.evaluate(() => document.documentElement.scrollWidth) <= 360)
    const { height } = await grace.provider('Hocuspocus').boundingBox()
    assert.ok(height >= 24, `${height}`)
    await grace.isSaved()
    await grace.screenshot(`provider-phone-${dark ? 'dark' : 'light'}`)
    await grace.page.setViewportSize({ width: 1280, height: 760 })
    await grace.screenshot(`provider-${dark ? 'dark' : 'light'}`)
    for (const person of [ada, grace]) {
      assert.deepEqual(person.complaints, [])
      await person.context.close()
    }
  }
})

test('where the browser keeps nothing, changes that are not saved do not go with a click', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada', {
    prepare: page => page.addInitScript(() => { IDBFactory.prototype.open = () => { throw new Error('not in this window') } }),
  })
  await ada.connected()
  await ada.cut()
  await ada.type('codemirror', 'abc')
  await ada.says(ada.saved, /^3 changes waiting, only in this window$/)
  await ada.provider('Hocuspocus').click()
  await until('it asks', () => ada.complaints.length > 0)
  assert.match(ada.complaints.pop(), /^dialog: 3 changes are only in this window, and would be lost/)
  assert.equal(await ada.text('codemirror'), 'abc')
  await ada.reconnect()
  await ada.isSaved()
  await ada.provider('Hocuspocus').click()
  await ada.page.waitForURL(/provider=hocuspocus/)
  await ada.ready('codemirror')
  await until('it is there', async () => await ada.text('codemirror') === 'abc')
  assert.deepEqual(ada.complaints, [])
})
