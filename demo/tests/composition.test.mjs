// Input methods: one person composes text while the other edits around it, in it, and takes its line away.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server, until } from '../../server/tests/clients/harness.mjs'
import { EDITOR, launch, Person, TITLES } from './browser.mjs'

// Short lines, which no editor wraps.
const LINES = ['first line', 'al beta ga', 'third line']
const BASE = LINES.join('\n')

/** Where the composition is: a line and a column, and how many characters are selected and so replaced. */
const WORD = { line: 1, column: 5, selected: 0 }
const SELECTION = { line: 1, column: 3, selected: 4 }

const withLine = line => [LINES[0], line, LINES[2]].join('\n')
const insert = (line, column, text) => async grace => {
  await caret(grace, line, column)
  await grace.page.keyboard.insertText(text)
}
const press = (line, column, ...keys) => async grace => {
  await caret(grace, line, column)
  await grace.press(...keys)
}

/** What Grace does meanwhile, and what is there afterwards; `…` stands for Ada's text. */
const MEANWHILE = {
  'types at the start of the line': { edit: insert(1, 0, '<<'), after: [withLine('<<al be…ta ga')] },
  'types at the end of the line': { edit: press(1, 0, 'End', '>', '>'), after: [withLine('al be…ta ga>>')] },
  'types into the same word': { edit: insert(1, 4, '<<'), after: [withLine('al b<<e…ta ga')] },
  'types at the same place': { edit: insert(1, 5, '||'), after: [withLine('al be||…ta ga'), withLine('al be…||ta ga')] },
  'types into the line above': { edit: insert(0, 5, '^^'), after: ['first^^ line\nal be…ta ga\nthird line'] },
  'types into the line below': { edit: insert(2, 5, 'vv'), after: ['first line\nal be…ta ga\nthirdvv line'] },
  // y-tiptap breaks a paragraph by writing its second half anew: what others type into that half meanwhile stays in the first,
  // by an input method or without (README.md).
  'breaks the line': { except: 'tiptap', edit: press(1, 1, 'Enter'), after: ['first line\na\nl be…ta ga\nthird line'] },
  'breaks the line above': { edit: press(0, 2, 'Enter'), after: ['fi\nrst line\nal be…ta ga\nthird line'] },
  'deletes the rest of the line': { edit: press(1, 3, 'Shift+End', 'Delete'), after: [withLine('al …')] },
  'deletes the line': { edit: press(1, 0, 'Shift+End', 'Delete'), after: [withLine('…')] },
  'deletes everything': { edit: press(0, 0, 'ControlOrMeta+a', 'Delete'), after: ['…'] },
  'types before what is being replaced': { at: SELECTION, edit: insert(1, 3, '<<'), after: [withLine('al <<… ga'), withLine('al …<< ga')] },
}

/** An editor with two people in it, and what they do there. */
class Scene {
  static async open (t, editor) {
    const server = await Server.start(t)
    const browser = await launch(t)
    const [ada, grace] = await Promise.all(['Ada', 'Grace'].map(name => Person.open(t, browser, server, 'a room', name, { editor })))
    for (const person of [ada, grace]) await person.connected()
    const scene = new Scene(editor, ada, grace)
    scene.cdp = await ada.context.newCDPSession(ada.page)
    await scene.cdp.send('Network.enable')
    scene.cdp.on('Network.webSocketFrameReceived', ({ response }) => {
      const [kind, step] = Buffer.from(response.payloadData, 'base64')
      if (kind === 0 && step === 2) scene.arrived++
    })
    if (editor === 'whiteboard') {
      // By somebody else: who types at once into a note of their own undoes the note with the text.
      const maker = await Person.open(t, browser, server, 'a room', 'Katherine', { editor })
      await maker.page.getByRole('button', { name: 'Note', exact: true }).focus()
      await maker.press('Enter')
      for (const { page } of [ada, grace]) await page.locator('.note textarea').waitFor()
    }
    return scene
  }

  /** Updates that have reached Ada. */
  arrived = 0

  constructor (editor, ada, grace) { Object.assign(this, { editor, ada, grace }) }

  async focus ({ page }) {
    if (this.editor === 'whiteboard') await page.locator('.note textarea').click()
    else await EDITOR[this.editor].focus(page)
  }

  async text (person) {
    if (this.editor === 'whiteboard') return await person.page.locator('.note textarea').inputValue()
    return await person.text(this.editor)
  }

  async bothSee (...expected) {
    let texts
    await until('both see it', async () => {
      texts = await Promise.all([this.text(this.ada), this.text(this.grace)])
      return texts[0] === texts[1] && expected.includes(texts[0])
    }, 40).catch(error => { throw new Error(`${error.message}: ${JSON.stringify({ expected, ada: texts[0], grace: texts[1] })}`) })
  }

  /** Puts the text there, as Grace's: what Ada undoes later is hers alone. */
  async begin () {
    await this.focus(this.grace)
    await this.grace.press('ControlOrMeta+a', 'Delete')
    for (const [at, line] of LINES.entries()) {
      if (at > 0) await this.grace.press('Enter')
      await this.grace.page.keyboard.type(line)
    }
    await this.bothSee(BASE)
  }

  async compose (...texts) {
    for (const text of texts) await this.cdp.send('Input.imeSetComposition', { text, selectionStart: text.length, selectionEnd: text.length })
  }

  async startComposing ({ line, column, selected } = WORD) {
    await this.focus(this.ada)
    await caret(this.ada, line, column)
    for (let more = 0; more < selected; more++) await this.ada.press('Shift+ArrowRight')
    await rendered(this.ada)
    await this.compose('に', 'にほ')
  }

  /** Grace's edit, up to the moment when Ada's page has it. */
  async meanwhile (edit) {
    await this.focus(this.grace)
    const before = this.arrived
    await edit(this.grace)
    await until('the edit has reached Ada', () => this.arrived > before)
    await rendered(this.ada)
  }

  async commit () {
    await this.compose('にほん', '日本')
    await this.cdp.send('Input.insertText', { text: '日本語' })
    await this.ada.page.keyboard.type('!')
  }

  nobodyComplains () {
    for (const { complaints } of [this.ada, this.grace]) assert.deepEqual(complaints, [])
  }
}

const COMPOSED = '日本語!'

for (const editor of Object.keys(TITLES)) {
  test(`${TITLES[editor]}: what is composed and what others write meanwhile are both there, once`, async t => {
    const scene = await Scene.open(t, editor)
    const { ada, grace } = scene
    for (const [what, { at, edit, after, except }] of Object.entries(MEANWHILE)) {
      if (editor === except) continue
      await t.test(`Grace ${what}`, async () => {
        const withText = text => after.map(expected => expected.replace('…', text))
        await scene.begin()
        await scene.startComposing(at)
        await scene.meanwhile(edit)
        await scene.commit()
        await scene.bothSee(...withText(COMPOSED))
        const steps = await undo(scene, ada)
        if (at === undefined) await scene.bothSee(...withText(''))
        await ada.press(...Array(steps).fill('ControlOrMeta+Shift+KeyZ'))
        await scene.bothSee(...withText(COMPOSED))
        await scene.focus(grace)
        await grace.press('ControlOrMeta+z')
        await until('both see the same', async () => await scene.text(ada) === await scene.text(grace))
        for (const character of COMPOSED) assert.ok((await scene.text(ada)).includes(character), `${character} in ${await scene.text(ada)}`)
      })
    }
    scene.nobodyComplains()
  })

  for (const [how, end] of Object.entries(ENDS())) {
    test(`${TITLES[editor]}: a composition that does not end lets the others' edits in when ${how}`, async t => {
      const scene = await Scene.open(t, editor)
      await scene.begin()
      await scene.startComposing()
      await scene.meanwhile(insert(1, 0, '<<'))
      await end(scene)
      await scene.bothSee(withLine('<<al beにほta ga'))
      scene.nobodyComplains()
    })
  }
}

test('CodeMirror: what others write into the text that is being composed stays there', async t => {
  const scene = await Scene.open(t, 'codemirror')
  await scene.begin()
  await scene.startComposing()
  await scene.bothSee(withLine('al beにほta ga'))
  await scene.meanwhile(insert(1, 6, '||'))
  await scene.commit()
  await scene.bothSee(...['||日本語!', '日本語!||', '日||本語!', '日本||語!', '日本語||!'].map(text => withLine(`al be${text}ta ga`)))
  scene.nobodyComplains()
})

/** How a composition can be over without a word from the input method. */
function ENDS () {
  return {
    'the focus is lost': scene => scene.ada.page.evaluate(() => document.activeElement.blur()),
    'the tab is hidden': scene => scene.ada.page.evaluate(() => {
      Object.defineProperty(document, 'hidden', { value: true })
      document.dispatchEvent(new Event('visibilitychange'))
    }),
    'nothing is composed for long': async () => {},
  }
}

async function caret (person, line, column) {
  await person.press('ControlOrMeta+Home', ...Array(line).fill('ArrowDown'), 'Home', ...Array(column).fill('ArrowRight'))
  await rendered(person)
}

/** Waits until the page has handled what came before, selections included. */
async function rendered ({ page }) {
  await page.evaluate(() => new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve))))
}

/** Takes back what this person composed, and gives the number of steps. */
async function undo (scene, person) {
  let steps = 0
  while (/[にほん日本語!]/.test(await scene.text(person))) {
    assert.ok(steps++ < 10, `undo takes it back: ${await scene.text(person)}`)
    await person.press('ControlOrMeta+z')
    await rendered(person)
  }
  return steps
}
