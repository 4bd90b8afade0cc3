// Each editor with two or three people in it, in browsers of their own.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server, until } from '../../server/tests/clients/harness.mjs'
import { launch, Person, TITLES } from './browser.mjs'

const TEXT_EDITORS = Object.keys(TITLES).filter(editor => editor !== 'whiteboard')

/** Where the names of others stand in each editor. */
const NAMES = {
  codemirror: '.cm-ySelectionInfo',
  tiptap: '.collaboration-carets__label',
  quill: '.ql-cursor-name',
  monaco: '.yRemoteSelectionHead',
  whiteboard: '.pointer span',
}

async function people (t, editor, ...names) {
  const server = await Server.start(t)
  const browser = await launch(t)
  const all = []
  for (const name of names) all.push(await Person.open(t, browser, server, 'a room', name, { editor }))
  for (const person of all) await person.connected()
  return all
}

async function converged (editor, people, what = () => true) {
  let contents
  await until(`all see the same in ${editor}`, async () => {
    contents = await Promise.all(people.map(person => person.content(editor)))
    return new Set(contents).size === 1 && what(contents[0])
  }).catch(error => { throw new Error(`${error.message}\n${contents.join('\n---\n')}`) })
}

async function nobodyComplains (people) {
  for (const { complaints } of people) assert.deepEqual(complaints, [])
}

/** Whether all characters of `part` are in `whole`, in their order. */
function holds (whole, part) {
  let at = -1
  return [...part].every(character => (at = whole.indexOf(character, at + 1)) >= 0)
}

/** The names that a person sees at the carets of others. */
async function namesSeen (person, editor) {
  return await person.page.locator(NAMES[editor]).evaluateAll((elements, editor) => elements.map(element => {
    if (editor !== 'monaco') return element.textContent
    const { content } = getComputedStyle(element, '::after')
    return content.startsWith('"') ? JSON.parse(content) : ''
  }), editor)
}

for (const editor of TEXT_EDITORS) {
  test(`${TITLES[editor]}: three people who type at the same time see the same, and nothing is missing`, async t => {
    const [ada, grace, edsger] = await people(t, editor, 'Ada', 'Grace', 'Edsger')
    const words = ['abcdefghijklm', 'nopqrstuvwxyz', '0123456789']
    await Promise.all([ada, grace, edsger].map((person, index) => person.type(editor, words[index], { delay: 15 })))
    await converged(editor, [ada, grace, edsger], content => content.length > 0)
    const text = await ada.text(editor)
    for (const word of words) assert.ok(holds(text, word), `${word} in ${text}`)
    assert.equal(text.replace(/\s/g, '').length, words.join('').length)
    await nobodyComplains([ada, grace, edsger])
  })

  test(`${TITLES[editor]}: undo takes back what this person did, wherever it is by now`, async t => {
    const [ada, grace] = await people(t, editor, 'Ada', 'Grace')
    await ada.type(editor, 'mine ')
    await converged(editor, [ada, grace], content => content.includes('mine'))
    await grace.type(editor, 'yours')
    await grace.press('Home')
    await grace.page.keyboard.type('before ')
    await converged(editor, [ada, grace], content => content.includes('yours') && content.includes('before'))
    await ada.press('ControlOrMeta+z')
    await converged(editor, [ada, grace], content => !content.includes('mine'))
    assert.match(await grace.text(editor), /before +yours/)
    await ada.press('ControlOrMeta+Shift+KeyZ')
    await converged(editor, [ada, grace], content => content.includes('mine'))
    assert.match(await grace.text(editor), /before mine yours/)
    await nobodyComplains([ada, grace])
  })
}

for (const [editor, bold] of [['tiptap', '<strong>bold</strong>'], ['quill', '<strong>bold</strong>']]) {
  test(`${TITLES[editor]}: one formats what the other goes on typing in`, async t => {
    const [ada, grace] = await people(t, editor, 'Ada', 'Grace')
    await ada.type(editor, 'start bold')
    await converged(editor, [ada, grace], content => content.includes('bold'))
    await grace.type(editor, '')
    await grace.press('ControlOrMeta+Shift+ArrowLeft')
    // ProseMirror learns of a selection a little after the browser; what others see of it is what it knows.
    if (editor === 'tiptap') await ada.page.locator('.ProseMirror-yjs-selection', { hasText: 'bold' }).waitFor()
    await grace.press('ControlOrMeta+b')
    await Promise.all([ada.press('Home', ...'more '), converged(editor, [grace], content => content.includes(bold))])
    await converged(editor, [ada, grace], content => content.includes(bold) && content.includes('more start'))
    await grace.press('ControlOrMeta+z')
    await converged(editor, [ada, grace], content => !content.includes('<strong>') && content.includes('more start bold'))
    await nobodyComplains([ada, grace])
  })
}

test('Monaco: Enter ends the line where a word of the text begins like the last one', async t => {
  const [ada, grace] = await people(t, 'monaco', 'Ada', 'Grace')
  const lines = ['shared', ...Array(10).fill('let sh')]
  await ada.type('monaco', lines.join('\n'), { delay: 50 })
  await converged('monaco', [ada, grace], content => content === lines.join('\n'))
})

test('Whiteboard: strokes, rectangles and notes converge, and undo takes back only what this person did', async t => {
  const [ada, grace] = await people(t, 'whiteboard', 'Ada', 'Grace')
  const choose = (person, tool) => person.page.getByRole('button', { name: tool, exact: true }).click()
  await Promise.all([
    drag(ada, [[300, 260], [340, 300], [380, 260]]),
    choose(grace, 'Rectangle').then(() => drag(grace, [[400, 260], [520, 330]])),
  ])
  await converged('whiteboard', [ada, grace], content => content.split('\n').length === 2)
  await choose(ada, 'Note')
  await ada.page.mouse.click(600, 300)
  await ada.page.getByLabel('Note', { exact: true }).and(ada.page.locator('textarea')).waitFor()
  await ada.page.keyboard.type('one two')
  await converged('whiteboard', [ada, grace], content => content.includes('one two'))
  await grace.page.locator('.note textarea').click()
  await Promise.all([
    grace.press('ControlOrMeta+Home').then(() => grace.page.keyboard.type('zero ', { delay: 15 })),
    ada.page.keyboard.type(' three', { delay: 15 }),
  ])
  await converged('whiteboard', [ada, grace], content => content.includes('zero one two three'))
  for (let more = 0; more < 8; more++) await ada.press('ControlOrMeta+z')
  await converged('whiteboard', [ada, grace], content => content.split('\n').length === 1 && content.includes('box'))
  await nobodyComplains([ada, grace])
})

test('Whiteboard: what was drawn can be moved and removed, by mouse and by keyboard', async t => {
  const [ada, grace] = await people(t, 'whiteboard', 'Ada', 'Grace')
  await drag(ada, [[300, 300], [380, 300]])
  await converged('whiteboard', [ada, grace], content => content.includes('points'))
  await ada.page.getByRole('button', { name: 'Move', exact: true }).click()
  const before = await grace.content('whiteboard')
  await drag(ada, [[340, 300], [340, 380]])
  await converged('whiteboard', [ada, grace], content => content.includes('points') && content !== before)
  const moved = await grace.content('whiteboard')
  await grace.page.locator('.stroke').focus()
  await grace.press('ArrowRight')
  await converged('whiteboard', [ada, grace], content => content.includes('points') && content !== moved)
  await grace.press('Delete')
  await converged('whiteboard', [ada, grace], content => content === '')
  await ada.page.getByRole('button', { name: 'Note', exact: true }).focus()
  await ada.press('Enter')
  await converged('whiteboard', [ada, grace], content => content.includes('note'))
  await nobodyComplains([ada, grace])
})

for (const editor of Object.keys(TITLES)) {
  test(`${TITLES[editor]}: the others' cursors carry their names, and vanish with them`, async t => {
    const [ada, grace] = await people(t, editor, 'Ada', 'Grace')
    if (editor === 'whiteboard') await grace.page.mouse.move(400, 400)
    else await grace.type(editor, 'here')
    await until('Grace is seen', async () => (await namesSeen(ada, editor)).join() === 'Grace')
    await ada.page.getByRole('button', { name: /Follow Grace/ }).waitFor()
    if (editor !== 'whiteboard') await ada.says(ada.page.locator('.typing'), 'Grace is typing…')
    await grace.context.close()
    await until('Grace is gone', async () => (await namesSeen(ada, editor)).length === 0)
    await ada.page.getByRole('button', { name: /Follow Grace/ }).waitFor({ state: 'detached' })
    await nobodyComplains([ada])
  })
}

for (const editor of ['codemirror', 'tiptap']) {
  test(`${TITLES[editor]}: following a person shows what they see, in the editor that they go to`, async t => {
    const [ada, grace] = await people(t, editor, 'Ada', 'Grace')
    await ada.type(editor, 'top')
    for (let line = 0; line < 60; line++) await ada.press('Enter', ...String(line))
    await converged(editor, [ada, grace], content => content.includes('59'))
    await grace.go('quill')
    await grace.page.getByRole('button', { name: /Follow Ada/ }).click()
    await grace.page.getByRole('tab', { name: TITLES[editor], selected: true }).waitFor()
    const scroller = editor === 'codemirror' ? '.cm-scroller' : '.tiptap .scroller'
    const top = person => person.page.locator(scroller).evaluate(element => element.scrollTop)
    for (const position of [300, 0, 700]) {
      await ada.page.locator(scroller).evaluate((element, position) => { element.scrollTop = position }, position)
      const want = await top(ada)
      await until(`Grace is where Ada is: ${want}`, async () => Math.abs(await top(grace) - want) < 3)
    }
    await grace.page.locator(scroller).hover()
    await grace.page.mouse.wheel(0, -200)
    await grace.page.locator('.stage.following').waitFor({ state: 'detached' })
    await nobodyComplains([ada, grace])
  })
}

async function drag ({ page }, [start, ...points]) {
  await page.mouse.move(...start)
  await page.mouse.down()
  for (const point of points) await page.mouse.move(...point, { steps: 5 })
  await page.mouse.up()
}
