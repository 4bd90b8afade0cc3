// README's lines as they stand there, except for the address of the server: two people run them, in a process each.

import assert from 'node:assert/strict'
import { execFile, fork } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { promisify } from 'node:util'
import { WebsocketProvider } from 'y-websocket'
import WebSocket from 'ws'
import * as Y from 'yjs'
import { Server, until } from '../clients/harness.mjs'
import { python } from '../python/python.mjs'

const README = fs.readFileSync(new URL('../../../README.md', import.meta.url), 'utf8')

/** What stands below a heading in bold, in the language of the block, with the address of this server. */
function lines (heading, language, server) {
  const code = README.split(`**${heading}**`)[1]?.match(new RegExp('^```' + language + '\\n([^]*?)^```', 'm'))?.[1]
  assert.ok(code, `README shows lines for ${heading}`)
  assert.ok(code.includes('ws://localhost:1234'), 'with an address')
  return code.replaceAll('ws://localhost:1234', server.url)
}

/** Writes lines to where they find their packages; gone after the test. */
function fileOf (t, name, code) {
  const directory = fs.mkdtempSync(path.join(import.meta.dirname, 'node_modules', '.readme-'))
  t.after(() => fs.rmSync(directory, { recursive: true }))
  const file = path.join(directory, name)
  fs.writeFileSync(file, code)
  return file
}

/** Somebody who has opened a page with these lines; leaves after the test. */
class Person {
  shown = null
  #failed = ''

  constructor (t, file) {
    this.page = fork(new URL('page.mjs', import.meta.url), [file], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    t.after(() => this.page.kill())
    this.page.stderr.on('data', chunk => { this.#failed += chunk })
    this.page.on('message', ({ shown }) => { this.shown = shown })
  }

  async opened () { await until('the page is there', () => this.#alive() && this.shown !== null, 60) }
  type (typed) { this.page.send({ typed }) }

  async sees (text) {
    await until(`the page shows ${text}`, () => {
      this.page.send({})
      return this.#alive() && this.shown.includes(text)
    })
  }

  #alive () {
    if (this.page.exitCode !== null) throw new Error(`the page failed: ${this.#failed}`)
    return true
  }
}

/** The document as y-websocket has it, whoever writes it. */
function connect (t, server, name) {
  const doc = new Y.Doc()
  const provider = new WebsocketProvider(server.url, name, doc, { WebSocketPolyfill: WebSocket, disableBc: true })
  t.after(() => {
    provider.destroy()
    doc.destroy() // else the timer of its awareness keeps this process alive
  })
  return provider
}

for (const heading of ['y-websocket, with CodeMirror', 'Tiptap, with Hocuspocus', 'BlockNote, with Hocuspocus']) {
  test(`${heading}: two people write together`, async t => {
    const server = await Server.start(t)
    const file = fileOf(t, 'page.mjs', lines(heading, 'js', server))
    const one = new Person(t, file)
    await one.opened()
    one.type('from the first')
    await one.sees('from the first')
    const two = new Person(t, file)
    await two.opened()
    await two.sees('from the first')
    two.type(', and the second')
    await one.sees('from the first, and the second')
  })
}

test('Yjs 14, with @y/websocket: what the lines write is there', async t => {
  const server = await Server.start(t)
  await new Person(t, fileOf(t, 'page.mjs', lines('Yjs 14, with @y/websocket', 'js', server))).opened()
  const [attributes, text] = [1, 2].map(() => connect(t, server, 'team/plan').doc) // in Yjs 13 a root has one of both
  await until('the attribute and the text have come', () => {
    return attributes.getMap('plan').get('title') === 'Our plan' && text.getText('plan').toString() === 'Once upon a time'
  })
})

test('Python, with pycrdt: what the lines write is there, and they have what was', async t => {
  const interpreter = python(t)
  if (interpreter === null) return
  const server = await Server.start(t)
  const provider = connect(t, server, 'team/notes')
  await until('it is synced', () => provider.synced)
  provider.doc.getText('text').insert(0, 'From a browser. ')
  const other = connect(t, server, 'team/notes')
  await until('the server has it', () => other.doc.getText('text').length > 0)
  const { stdout } = await promisify(execFile)(interpreter, [fileOf(t, 'lines.py', lines('Python, with pycrdt', 'python', server))])
  assert.equal(stdout, 'From a browser. From Python.\n')
  await until('Python’s words have come', () => provider.doc.getText('text').toString() === 'From a browser. From Python.')
})
