// How the page is used for the first time, by finger, and beside others.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server, until } from '../../server/tests/clients/harness.mjs'
import { launch, Person, TITLES } from './browser.mjs'

test('who comes for the first time reads what this is, once', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  for (const phone of [false, true]) {
    const ada = await Person.open(t, browser, server, 'r', null, { isFirst: true, phone })
    const about = ada.page.locator('.about')
    assert.match(await about.textContent(), /a server for collaborative editors.*Each tab is a document of its own.*Click a name.*follow.*change your name/s)
    assert.equal(await about.getByRole('link', { name: 'Read about coscribe' }).getAttribute('href'), 'https://github.com/coscribe/coscribe#readme')
    await about.getByRole('button', { name: 'Got it' }).click()
    await about.waitFor({ state: 'hidden' })
    await ada.page.evaluate(() => document.activeElement.blur())
    await ada.reload()
    await ada.ready('codemirror')
    assert.ok(await about.isHidden())
    await ada.page.getByRole('button', { name: /^About/ }).click()
    await about.waitFor()
    assert.deepEqual(ada.complaints, [])
  }
})

/** What can be clicked and is smaller than this. Links within text are as high as their lines, and Monaco's own is as it is. */
async function tooSmall ({ page }, least) {
  return await page.evaluate(least => [...document.querySelectorAll('button, a[href], summary, input:not([type="checkbox"]), [role="button"], [role="tab"]')]
    .filter(element => element.checkVisibility() && element.closest('p, .monaco-editor') === null)
    .map(element => ({ element, rect: element.getBoundingClientRect() }))
    .filter(({ rect: { width, height } }) => Math.min(width, height) < least - 0.5)
    .map(({ element, rect }) => `${element.outerHTML.slice(0, 120)} ${rect.width} by ${rect.height}`), least)
}

for (const phone of [false, true]) {
  test(`what can be clicked is large enough ${phone ? 'for a finger' : 'for a mouse'}`, async t => {
    const server = await Server.start(t)
    const browser = await launch(t)
    const [ada] = [await Person.open(t, browser, server, 'r', 'Ada', { phone }), await Person.open(t, browser, server, 'r', 'Grace')]
    const least = phone ? 44 : 24
    for (const editor of Object.keys(TITLES)) {
      await ada.go(editor)
      if (editor === 'codemirror') {
        await ada.type(editor, 'x')
        await ada.press('ControlOrMeta+f')
        await ada.page.locator('.cm-search').waitFor()
      }
      if (editor === 'whiteboard') {
        await ada.page.getByRole('button', { name: 'Note', exact: true }).focus()
        await ada.press('Enter')
      }
      assert.deepEqual(await tooSmall(ada, least), [], editor)
    }
    await ada.page.getByRole('button', { name: 'Follow Grace' }).click()
    assert.equal((await ada.page.locator('.followed').innerText()).replace(/\s+/g, ' '), phone ? 'Following Grace · tap to stop' : 'Following Grace · Esc stops it')
    assert.deepEqual(await tooSmall(ada, least), [])
    await ada.page.locator('.followed').click()
    await ada.page.locator('.followed').waitFor({ state: 'hidden' })
    await ada.page.getByRole('button', { name: /^You, Ada/ }).first().click()
    assert.deepEqual(await tooSmall(ada, least), [])
    assert.deepEqual(ada.complaints, [])
  })
}

test('all tabs are within reach on a phone, and the dots on them cover no title', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada', { phone: true })
  for (const name of ['Grace', 'Hedy', 'Mary']) await Person.open(t, browser, server, 'r', name)
  await ada.page.locator('#tab-codemirror .dots i').nth(2).waitFor()
  const board = ada.page.getByRole('tab', { name: 'Whiteboard' })
  const place = () => board.boundingBox()
  assert.ok((await place()).x < 340, 'nothing says that there is another tab')
  await board.click()
  await until('the tab is whole', async () => (await place()).x + (await place()).width <= 361)
  const covered = await ada.page.getByRole('tab').evaluateAll(tabs => tabs.filter(tab => {
    const label = tab.querySelector('.label').getBoundingClientRect()
    return [...tab.querySelectorAll('.dots i')].some(dot => dot.getBoundingClientRect().bottom > label.top)
  }).map(tab => tab.id))
  assert.deepEqual(covered, [])
  assert.deepEqual(ada.complaints, [])
})

const FLAGS = { codemirror: '.cm-ySelectionInfo', tiptap: '.collaboration-carets__label', quill: '.ql-cursor-flag', monaco: '.yRemoteSelectionHead' }

for (const [editor, selector] of Object.entries(FLAGS)) {
  test(`${editor}: a name stands beside its caret when that moves, and hides no text after a moment`, async t => {
    const server = await Server.start(t)
    const browser = await launch(t)
    const [ada, grace] = [await Person.open(t, browser, server, 'r', 'Ada', { editor }), await Person.open(t, browser, server, 'r', 'Grace', { editor })]
    const flag = ada.page.locator(`#panel-${editor} ${selector}`)
    const opacity = () => flag.evaluate((element, pseudo) => getComputedStyle(element, pseudo).opacity, editor === 'monaco' ? '::after' : null)
    await grace.type(editor, 'the first line')
    await until('the name is there', async () => {
      await grace.press('Home', 'End')
      return await flag.count() === 1 && await opacity() === '1'
    })
    // The name is above the first line, and not cut off there.
    if (editor !== 'monaco') {
      const [name, panel] = await Promise.all([flag.boundingBox(), ada.page.locator(`#panel-${editor}`).boundingBox()])
      assert.ok(name.y >= panel.y, 'it is cut off')
    }
    await until('the name is gone', async () => await opacity() === '0')
    // It is there for a moment only, which a slow machine may miss.
    await until('the name is back', async () => {
      await grace.press('Home', 'End')
      return await opacity() === '1'
    })
    await until('the name is gone again', async () => await opacity() === '0')
    const caret = { codemirror: '.cm-ySelectionCaret', tiptap: '.collaboration-carets__caret', quill: '.ql-cursor-caret-container', monaco: selector }[editor]
    const { x, y, height } = await ada.page.locator(`#panel-${editor} ${caret}`).boundingBox()
    await ada.page.mouse.move(x + 1, y + height / 2)
    await until('who points at the caret sees the name', async () => await opacity() === '1')
    assert.deepEqual([...ada.complaints, ...grace.complaints], [])
  })
}

test('Monaco says how Tab leaves it, and then it does', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada', { editor: 'monaco' })
  const hint = ada.page.locator('#monaco-hint')
  await ada.says(hint, /^Tab indents; after Ctrl\+M, it leaves the editor\.$/)
  await ada.type('monaco', 'a')
  assert.ok(await ada.page.evaluate(() => document.activeElement.getAttribute('aria-describedby') === 'monaco-hint'))
  await ada.press('Control+m')
  await ada.says(hint, /^Tab leaves the editor/)
  await ada.press('Tab')
  assert.ok(await ada.page.evaluate(() => document.activeElement.closest('.monaco-editor') === null))
  assert.equal(await ada.text('monaco'), 'a')
  assert.deepEqual(ada.complaints, [])
})
