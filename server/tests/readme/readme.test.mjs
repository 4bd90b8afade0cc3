// README's lines as they stand there, except for the address of the server: two people run them, in a process each.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import test from 'node:test'
import { promisify } from 'node:util'
import { WebsocketProvider } from 'y-websocket'
import WebSocket from 'ws'
import * as Y from 'yjs'
import { Server, until } from '../clients/harness.mjs'
import { python } from '../python/python.mjs'
import { fileOf, lines, Person } from './lines.mjs'

/** README's lines below a heading in bold, with the address of this server. */
const linesFor = (server, heading, language = 'js') => lines('README.md', heading, language, { 'ws://localhost:1234': server.url })

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
    const file = fileOf(t, 'page.mjs', linesFor(server, heading))
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
  await new Person(t, fileOf(t, 'page.mjs', linesFor(server, 'Yjs 14, with @y/websocket'))).opened()
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
  const { stdout } = await promisify(execFile)(interpreter, [fileOf(t, 'lines.py', linesFor(server, 'Python, with pycrdt', 'python'))])
  assert.equal(stdout, 'From a browser. From Python.\n')
  await until('Python’s words have come', () => provider.doc.getText('text').toString() === 'From a browser. From Python.')
})
