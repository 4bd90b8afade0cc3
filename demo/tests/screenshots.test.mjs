// Every editor with two people, the page with eight, a first visit and a phone, in light and dark, into demo/screenshots: for people to look at.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { Server, until } from '../../server/tests/clients/harness.mjs'
import { HOCUSPOCUS, launch, Person, SCREENSHOTS, TITLES } from './browser.mjs'

const MARKDOWN = `# Release notes

- Documents are **on disk** when the page says so
- Edits made offline arrive later, *merged*
- A slow reader is resynced in place

> Nothing is lost when the server is killed.

`

const TYPESCRIPT = `type Known = Map<number, number>

/** Whether the other end lacks this block. */
const isMissing = (known: Known, client: number, clock: number): boolean =>
  (known.get(client) ?? 0) <= clock
`

async function write (ada, grace, editor) {
  if (editor === 'codemirror') {
    await ada.page.locator('.cm-content').click()
    await ada.page.keyboard.insertText(MARKDOWN)
    await until('Grace has it', async () => /Nothing is lost/.test(await grace.text(editor)))
    await grace.type(editor, 'Both of us are writing this at the same time.')
    await ada.press('ArrowUp', 'ArrowUp', 'ControlOrMeta+ArrowRight', 'ControlOrMeta+ArrowRight')
  } else if (editor === 'monaco') {
    await ada.page.locator('.monaco-editor .view-lines').click()
    await ada.page.keyboard.insertText(TYPESCRIPT)
    await until('Grace has it', async () => /client/.test(await grace.text(editor)))
    await grace.type(editor, '\n// Grace is here.')
  } else if (editor === 'whiteboard') {
    await draw(ada, grace)
  } else {
    await ada.type(editor, 'A plan for the week')
    if (editor === 'tiptap') await ada.page.getByRole('button', { name: 'Heading, H1', exact: true }).click()
    else await ada.press('ControlOrMeta+Shift+Home')
    if (editor === 'quill') await ada.press('ControlOrMeta+b', 'End')
    await ada.press('End', 'Enter')
    await ada.page.keyboard.type('Two people, one document: each sees where the other is.')
    await grace.type(editor, '')
    await grace.press('Enter')
    await grace.page.keyboard.type('And what is marked is seen, too.')
    await ada.press('ControlOrMeta+Shift+ArrowLeft', 'ControlOrMeta+Shift+ArrowLeft')
  }
}

async function draw (ada, grace) {
  const tool = (person, name) => person.page.getByRole('button', { name, exact: true }).click()
  await tool(ada, 'Rectangle')
  await line(ada, [[190, 260], [410, 370]])
  await tool(grace, 'green')
  await tool(grace, 'Rectangle')
  await line(grace, [[640, 260], [860, 370]])
  await tool(ada, 'red')
  await tool(ada, 'Draw')
  await line(ada, [[420, 315], [470, 300], [520, 325], [575, 305], [630, 315], [612, 302], [630, 315], [614, 330]])
  await tool(grace, 'amber')
  await tool(grace, 'Note')
  await grace.page.mouse.click(430, 410)
  await grace.page.keyboard.type('Updates go straight to the log')
  await ada.page.mouse.move(560, 380)
  await grace.page.mouse.move(700, 440)
}

async function line ({ page }, [start, ...points]) {
  await page.mouse.move(...start)
  await page.mouse.down()
  for (const point of points) await page.mouse.move(...point, { steps: 12 })
  await page.mouse.up()
}

for (const dark of [false, true]) {
  test(`screenshots of every editor in ${dark ? 'dark' : 'light'}`, async t => {
    const server = await Server.start(t)
    const browser = await launch(t)
    const size = { width: 1280, height: 760 }
    const ada = await Person.open(t, browser, server, 'quiet-otter-42', 'Ada', { color: '#d6336c', dark, size })
    const grace = await Person.open(t, browser, server, 'quiet-otter-42', 'Grace', { color: '#1971c2', dark, size })
    for (const editor of Object.keys(TITLES)) {
      await Promise.all([ada.go(editor), grace.go(editor)])
      await Promise.all([ada.connected(), grace.connected()])
      await write(ada, grace, editor)
      for (const person of [ada, grace]) await person.isSaved()
      await until('both see the same', async () => await ada.content(editor) === await grace.content(editor))
      await ada.screenshot(`${editor}-${dark ? 'dark' : 'light'}`)
    }
    await ada.go('tiptap')
    await ada.cut()
    await ada.type('tiptap', ' Typed without a connection.')
    await ada.screenshot(`offline-${dark ? 'dark' : 'light'}`)
    assert.deepEqual([...ada.complaints, ...grace.complaints], [])
  })
}

for (const dark of [false, true]) {
  test(`screenshots of eight people, of a first visit and of a phone in ${dark ? 'dark' : 'light'}`, async t => {
    const server = await Server.start(t)
    const browser = await launch(t)
    const theme = dark ? 'dark' : 'light'
    const open = (name, options = {}) => Person.open(t, browser, server, 'quiet-otter-42', name, { dark, ...options })
    const people = [await open('Ada', { isFirst: true })]
    await people[0].connected()
    await people[0].screenshot(`first-${theme}`)
    for (const name of ['Grace', 'Hedy', 'Radia', 'Barbara', 'Katherine Johnson', '👩‍👩‍👧‍👦', 'نیم\u200cفاصله']) people.push(await open(name, { phone: name === 'Hedy' }))
    const [ada, grace, hedy] = people
    await ada.page.getByRole('button', { name: 'Got it' }).click()
    await until('all are there', async () => await ada.page.locator('.entry').count() === 8 && await hedy.page.locator('.entry').count() === 8)
    await grace.type('codemirror', MARKDOWN)
    await hedy.go('tiptap')
    await ada.screenshot(`eight-${theme}`)
    await hedy.page.locator('.more').click()
    await hedy.screenshot(`eight-phone-${theme}`)
    await hedy.press('Escape')
    for (const editor of ['quill', 'monaco', 'whiteboard']) {
      await hedy.go(editor)
      await hedy.connected()
      await hedy.screenshot(`${editor}-phone-${theme}`)
    }
    await ada.page.getByRole('button', { name: /^You, Ada/ }).first().click()
    await ada.screenshot(`profile-${theme}`)
    assert.deepEqual(people.flatMap(({ complaints }) => complaints), [])
  })
}

test('two windows side by side, for the README', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const size = { width: 860, height: 640 }
  const ada = await Person.open(t, browser, server, 'quiet-otter-42', 'Ada', { color: '#d6336c', editor: 'tiptap', size })
  const grace = await Person.open(t, browser, server, 'quiet-otter-42', 'Grace', { color: '#1971c2', editor: 'tiptap', size, dark: true, ...HOCUSPOCUS })
  for (const person of [ada, grace]) await person.connected()
  await ada.type('tiptap', 'A plan for the week')
  await ada.page.getByRole('button', { name: 'Heading, H1', exact: true }).click()
  await ada.press('End', 'Enter')
  await ada.page.keyboard.type('Two people, one document. Each sees where the other is, and what is saved.')
  await ada.press('Enter')
  await ada.page.getByRole('button', { name: 'List', exact: true }).click()
  await ada.page.keyboard.type('Cut the connection, and go on typing')
  await ada.press('Enter')
  await ada.page.keyboard.type('Kill the server while somebody types')
  await until('Grace has it', async () => /somebody types/.test(await grace.text('tiptap')))
  await grace.page.getByText('Kill the server').click()
  await grace.press('End', 'Enter')
  await grace.page.keyboard.type('Reconnect: it is all there')
  await ada.isSaved()
  await until('both see the same', async () => await ada.content('tiptap') === await grace.content('tiptap'))
  await ada.press('ControlOrMeta+Shift+ArrowLeft', 'ControlOrMeta+Shift+ArrowLeft')
  await grace.page.locator('.ProseMirror-yjs-selection').first().waitFor()
  const pictures = await Promise.all([ada, grace].map(({ page }) => page.screenshot()))
  assert.deepEqual([...ada.complaints, ...grace.complaints], [])
  await join(browser, size, pictures, 'two-windows.png')
})

async function join (browser, { width, height }, pictures, name) {
  const page = await browser.newPage({ viewport: { width: 2 * width + 48, height: height + 32 } })
  const images = pictures.map(picture => `<img src="data:image/png;base64,${picture.toString('base64')}">`)
  await page.setContent(`<style>body { margin: 0; padding: 16px; display: flex; gap: 16px; background: #b9c0cc } img { border-radius: 10px; box-shadow: 0 8px 30px #0004 }</style>${images.join('')}`)
  await page.screenshot({ path: path.join(SCREENSHOTS, name) })
}
