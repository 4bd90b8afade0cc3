// Much text at once, pasted into Quill.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server, until } from '../../server/tests/clients/harness.mjs'
import { EDITOR, launch, Person } from './browser.mjs'

const LINES = 12_500
const LINE = index => `${`line ${index} `.padEnd(78, 'lorem ipsum ')}.`
const TEXT = Array.from({ length: LINES }, (_, index) => LINE(index)).join('\n')
const PARAGRAPHS = TEXT.split('\n').map((line, index) => index % 100 === 0 ? `<h1>${line}</h1>` : `<p>${line}</p>`).join('')

async function people (t) {
  const server = await Server.start(t)
  const browser = await launch(t)
  const [ada, grace] = await Promise.all(['Ada', 'Grace'].map(name => Person.open(t, browser, server, 'r', name, { editor: 'quill' })))
  for (const person of [ada, grace]) await person.connected()
  await grace.type('quill', 'before after')
  await until('Ada has it', async () => await ada.text('quill') === 'before after')
  return [ada, grace]
}

/** Pastes behind the first word, and counts from then on the frames that have some of the text but not yet all. */
async function paste (person, formats) {
  await EDITOR.quill.focus(person.page)
  await person.press('Home', ...Array(7).fill('ArrowRight'))
  await person.page.evaluate(formats => {
    const editor = document.querySelector('.ql-editor')
    const count = () => {
      globalThis.shown = (globalThis.shown ?? 0) + 1
      if (document.querySelector('.pasting') !== null) requestAnimationFrame(count)
    }
    const clipboardData = new DataTransfer()
    for (const [type, content] of Object.entries(formats)) clipboardData.setData(type, content)
    editor.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }))
    count()
  }, formats)
}

const pasting = person => person.page.locator('.pasting')

async function isDone (person) { await pasting(person).waitFor({ state: 'detached', timeout: 240_000 }) }

async function bothHave (people, text) {
  let texts
  await until('both have the text', async () => {
    texts = await Promise.all(people.map(person => person.text('quill')))
    return texts.every(seen => seen === text)
  }, 120).catch(error => { throw new Error(`${error.message}: ${texts.map(seen => difference(seen, text))}`) })
}

/** Where two texts begin to differ; whole, they would fill the log. */
function difference (seen, wanted) {
  const at = [...wanted].findIndex((character, index) => seen[index] !== character)
  return JSON.stringify({ at, seen: seen.slice(Math.max(0, at - 20), at + 60), wanted: wanted.slice(Math.max(0, at - 20), at + 60), lengths: [seen.length, wanted.length] })
}

test('Quill: a megabyte is pasted while the page goes on answering, and is one step for undo', async t => {
  const [ada, grace] = await people(t)
  await paste(ada, { 'text/plain': TEXT })
  await ada.says(pasting(ada), 'Pasting 12,499 lines…')
  await isDone(ada)
  const frames = await ada.page.evaluate(() => globalThis.shown)
  assert.ok(frames >= 10, `${frames} frames were shown meanwhile`)
  await bothHave([ada, grace], `before ${TEXT}after`)
  await ada.press('ControlOrMeta+z')
  await bothHave([ada, grace], 'before after')
  await ada.press('ControlOrMeta+Shift+KeyZ')
  await bothHave([ada, grace], `before ${TEXT}after`)
  for (const { complaints } of [ada, grace]) assert.deepEqual(complaints, [])
})

test('Quill: what both write while a paste goes on is kept, and so are the formats of what is pasted', async t => {
  const [ada, grace] = await people(t)
  await paste(ada, { 'text/plain': TEXT, 'text/html': PARAGRAPHS })
  await pasting(ada).waitFor()
  await ada.page.keyboard.type('mine')
  await grace.page.keyboard.type('yours')
  await isDone(ada)
  await bothHave([ada, grace], `before ${TEXT}mineafteryours`)
  for (const person of [ada, grace]) assert.equal(await person.page.locator('.ql-editor h1').count(), LINES / 100)
  for (const { complaints } of [ada, grace]) assert.deepEqual(complaints, [])
})

for (const [how, stop] of Object.entries({
  'by its button': person => person.page.getByRole('button', { name: 'Stop' }).click(),
  'by undo': person => person.press('ControlOrMeta+z'),
})) {
  test(`Quill: a paste is stopped ${how}`, async t => {
    const [ada, grace] = await people(t)
    await paste(ada, { 'text/plain': TEXT })
    await pasting(ada).waitFor()
    await stop(ada)
    await isDone(ada)
    assert.ok(!(await ada.text('quill')).includes(LINE(LINES - 1)))
    if (how !== 'by undo') {
      await EDITOR.quill.focus(ada.page)
      await ada.press('ControlOrMeta+z')
    }
    await bothHave([ada, grace], 'before after')
  })
}
