// People in front of browsers: each has a browser context of their own, as on machines of their own.

import fs from 'node:fs'
import path from 'node:path'
import { chromium } from 'playwright-core'
import { until } from '../../server/tests/clients/harness.mjs'

const USUAL_PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/usr/bin/google-chrome-stable', '/snap/bin/chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome', '/Applications/Chromium.app/Contents/MacOS/Chromium']

// A browser under test talks to the server under test, and to nobody else.
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

export const SCREENSHOTS = path.resolve(import.meta.dirname, '../screenshots')

/** Where Chromium is: by the environment, at the usual places, or where Playwright installs it; undefined if nowhere. */
export function findChromium () {
  const places = [process.env.CHROMIUM_PATH, ...USUAL_PLACES, chromium.executablePath()]
  return places.find(place => place && fs.existsSync(place))
}

/** A browser, closed after the test. */
export async function launch (t) {
  const executablePath = findChromium()
  if (executablePath === undefined) throw new Error('no Chromium: run `npm run chromium`, or set CHROMIUM_PATH')
  const browser = await chromium.launch({ executablePath, args: FLAGS })
  t.after(() => browser.close())
  return browser
}

/** What a browser says of a server that is not there. */
export const gone = complaint => /WebSocket connection to|ERR_CONNECTION|ERR_FAILED|ERR_EMPTY_RESPONSE|Failed to load resource/.test(complaint)

/** Somebody with the demo open. What must never happen is noted in `complaints`. */
export class Person {
  complaints = []
  #leaves = false

  /**
   * @param options.editor which editor to open; `codemirror` if it is not given
   * @param options.provider which provider the URL names; none if it is not given
   * @param options.dark dark instead of light
   * @param options.path what follows the server's address, instead of the room's page
   * @param options.phone with a small screen, and a finger instead of a mouse
   * @param options.isFirst the browser has never seen the page: it says what it is
   * @param options.expected a test for complaints that belong to what is tested, as of connections to a server that was killed
   */
  static async open (t, browser, server, room, name, options = {}) {
    const { editor = 'codemirror', dark = false, phone = false, isFirst = false, provider, prepare } = options
    const { size = phone ? { width: 360, height: 740 } : { width: 1180, height: 760 } } = options
    const { path = `/?room=${encodeURIComponent(room)}${provider === undefined ? '' : `&provider=${provider}`}#${editor}` } = options
    const context = await browser.newContext({ viewport: size, colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce', hasTouch: phone, isMobile: phone })
    const person = new Person(context, await context.newPage(), server, options.expected ?? (() => false))
    t.after(() => context.close())
    await context.addInitScript(({ name, color, isFirst }) => {
      if (!isFirst) localStorage.setItem('coscribe.about', 'read')
      if (name !== null && localStorage.getItem('coscribe.person') === null) localStorage.setItem('coscribe.person', JSON.stringify({ name, color }))
    }, { name, color: options.color ?? '#1971c2', isFirst })
    await prepare?.(person.page)
    await person.page.goto(server.http + path)
    if (options.path === undefined) await person.ready(editor)
    return person
  }

  constructor (context, page, server, expected) {
    Object.assign(this, { context, page })
    const complain = text => { if (!expected(text)) this.complaints.push(text) }
    page.on('console', message => { if (['error', 'warning'].includes(message.type())) complain(`console: ${message.text()}`) })
    page.on('pageerror', error => complain(`thrown: ${error}`))
    page.on('dialog', dialog => { complain(`dialog: ${dialog.message()}`); dialog.dismiss() })
    page.on('requestfailed', request => {
      const failure = request.failure()?.errorText
      if (!(this.#leaves && failure === 'net::ERR_ABORTED')) complain(`failed: ${request.url()} ${failure}`)
    })
    page.on('response', response => { if (response.status() >= 400) complain(`${response.status()}: ${response.url()}`) })
    page.on('request', request => this.#checkHost(request.url(), server, complain))
    page.on('websocket', socket => this.#checkHost(socket.url(), server, complain))
  }

  #checkHost (url, server, complain) {
    const { protocol, host } = new URL(url)
    if (['data:', 'blob:'].includes(protocol)) return
    if (host !== new URL(server.http).host) complain(`another host: ${url}`)
  }

  /** Waits until an editor is there to type into. */
  async ready (editor) { await this.page.locator(`#panel-${editor}[data-ready]`).waitFor() }

  /** Loads the page again. What it was still loading, to keep it for later, is given up, and that is no fault. */
  async reload () {
    this.#leaves = true
    await this.page.reload()
    this.#leaves = false
  }

  async go (editor) {
    await this.page.getByRole('tab', { name: TITLES[editor] }).click()
    await this.ready(editor)
  }

  get connection () { return this.page.locator('#connection') }
  get saved () { return this.page.locator('#saved') }
  provider (title) { return this.page.getByRole('navigation', { name: 'Provider' }).getByRole('link', { name: title }) }
  get banner () { return this.page.locator('.banner') }

  async says (locator, text, seconds = 20) {
    await locator.filter({ hasText: text }).first().waitFor({ timeout: seconds * 1000 })
  }

  async connected () { await this.says(this.connection, /^Connected$/) }
  async isSaved () { await this.says(this.saved, /^Your changes are saved on disk \(\d\d:\d\d:\d\d\)$/) }
  async cut () { await this.page.getByRole('button', { name: 'Cut the connection' }).click() }
  async reconnect () { await this.page.locator('footer').getByRole('button', { name: 'Reconnect' }).click() }

  /** Puts the cursor into the editor that is shown, and types. */
  async type (editor, text, options = {}) {
    await EDITOR[editor].focus(this.page)
    await this.page.keyboard.press('ControlOrMeta+End')
    await this.page.keyboard.type(text, { delay: options.delay ?? 0 })
  }

  async press (...keys) { for (const key of keys) await this.page.keyboard.press(key) }

  /** The text that the editor shows. */
  async text (editor) { return await EDITOR[editor].text(this.page) }

  /** What the editor shows with its formatting, where it has one. */
  async content (editor) { return await (EDITOR[editor].content ?? EDITOR[editor].text)(this.page) }

  async screenshot (name) {
    fs.mkdirSync(SCREENSHOTS, { recursive: true })
    await this.page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`) })
  }
}

/** How a window is opened that uses Hocuspocus. */
export const HOCUSPOCUS = { provider: 'hocuspocus' }

/** Ada with y-websocket, and Grace with Hocuspocus. */
export async function withBoth (t, browser, server, options = {}) {
  const people = [await Person.open(t, browser, server, 'r', 'Ada', options), await Person.open(t, browser, server, 'r', 'Grace', { ...options, ...HOCUSPOCUS })]
  for (const person of people) await person.connected()
  return people
}

/** Waits until all editors show the same, with these parts in it. */
export async function sameText (editor, people, ...parts) {
  let texts
  await until(`all have ${parts}`, async () => {
    texts = await Promise.all(people.map(person => person.text(editor)))
    return new Set(texts).size === 1 && parts.every(part => texts[0].includes(part))
  }, 40).catch(error => { throw new Error(`${error.message}: ${JSON.stringify(texts)}`) })
}

export const TITLES = { codemirror: 'CodeMirror', tiptap: 'Tiptap', quill: 'Quill', monaco: 'Monaco', whiteboard: 'Whiteboard' }

const TIPTAP = '.ProseMirror'
const CARETS = '.collaboration-carets__caret, .ProseMirror-separator, .ProseMirror-trailingBreak, .ProseMirror-widget'

export const EDITOR = {
  codemirror: {
    focus: page => page.locator('.cm-content').click(),
    text: page => page.locator('.cm-content').evaluate(element => {
      const lines = [...element.querySelectorAll('.cm-line')].map(line => {
        const copy = line.cloneNode(true)
        for (const added of copy.querySelectorAll('.cm-ySelectionCaret, .cm-placeholder, .cm-widgetBuffer')) added.remove()
        return copy.textContent
      })
      return lines.join('\n')
    }),
  },
  tiptap: {
    focus: page => page.locator(TIPTAP).click(),
    text: page => page.locator(TIPTAP).evaluate((element, carets) => {
      const copy = element.cloneNode(true)
      for (const caret of copy.querySelectorAll(carets)) caret.remove()
      return [...copy.children].map(block => block.textContent).join('\n')
    }, CARETS),
    content: page => page.locator(TIPTAP).evaluate((element, carets) => {
      const copy = element.cloneNode(true)
      for (const added of copy.querySelectorAll(carets)) added.remove()
      for (const selection of copy.querySelectorAll('.ProseMirror-yjs-selection')) selection.replaceWith(...selection.childNodes)
      copy.normalize()
      return [...copy.children].map(block => `<${block.localName}>${block.innerHTML}</${block.localName}>`).join('')
    }, CARETS),
  },
  quill: {
    focus: page => page.locator('.ql-editor').click(),
    text: page => page.locator('.ql-editor').evaluate(element => [...element.children].map(block => block.textContent).join('\n')),
    content: page => page.locator('.ql-editor').innerHTML(),
  },
  monaco: {
    focus: page => page.locator('.monaco-editor .view-lines').click(),
    text: page => page.locator('.monaco-editor .view-lines').evaluate(element => {
      const lines = [...element.querySelectorAll('.view-line')].sort((a, b) => parseFloat(a.style.top) - parseFloat(b.style.top))
      return lines.map(line => line.textContent.replaceAll('\u00a0', ' ')).join('\n')
    }),
  },
  whiteboard: {
    focus: page => page.locator('.whiteboard .scroller').focus(),
    text: page => page.locator('.board').evaluate(board => {
      const drawings = [...board.querySelectorAll('.strokes > *')].map(shape => [...shape.attributes].map(({ name, value }) => `${name}=${value}`).sort().join(' '))
      const notes = [...board.querySelectorAll('.note')].map(note => `${note.className} ${note.style.cssText} ${note.querySelector('textarea').value}`)
      return [...drawings, ...notes].join('\n')
    }),
  },
}
