// Yjs 14 (`@y/y`) with its own provider, by itself and beside Yjs 13: one type that has attributes, children and formatted text.

import assert from 'node:assert/strict'
import test from 'node:test'
import { WebsocketProvider } from '@y/websocket'
import * as Y14 from '@y/y'
import WebSocket from 'ws'
import { Bare, connect, PROVIDERS, synced, Y } from './clients.mjs'
import { Server, until } from './harness.mjs'

/** A provider of Yjs 14 as an application makes it; destroyed after the test. */
function open (t, server, name, doc = new Y14.Doc(), options = {}) {
  const provider = new WebsocketProvider(server.url, name, doc, { disableBc: true, WebSocketPolyfill: WebSocket, ...options })
  t.after(() => {
    provider.destroy()
    doc.destroy()
  })
  return Object.assign(provider, { doc })
}

const shown = ({ doc }, root, ofName) => JSON.stringify(doc.get(root, ofName).toJSON())

/** Waits until both show the same below this root, and that is not nothing. */
async function same (one, other, root) {
  await until(`both show the same ${root}`, () => shown(one, root) === shown(other, root) && shown(one, root) !== '{}')
}

/** An element with this text. */
function element (name, text) {
  const made = new Y14.Type(name)
  made.insert(0, text)
  return made
}

test('Yjs 14: attributes, children, formats and deletions go both ways', async t => {
  const server = await Server.start(t)
  const [one, two] = [open(t, server, 'all kinds'), open(t, server, 'all kinds')]
  await synced(one, two)
  const root = one.doc.get('page')
  root.setAttr('title', 'A page')
  root.setAttr('tags', { list: ['a', 1, null, true], bytes: new Uint8Array([1, 2]) })
  root.setAttr('gone', 1)
  root.insert(0, 'plain text')
  root.format(0, 5, { bold: true })
  root.insert(root.length, [element('p', 'a child'), 17, { plain: 'object' }])
  await same(one, two, 'page')
  const other = two.doc.get('page')
  other.deleteAttr('gone')
  other.delete(2, 4)
  other.get(other.length - 3).setAttr('level', 2)
  other.get(other.length - 3).insert(0, 'still ')
  await until('the deletions have come', () => root.getAttr('gone') === undefined && root.get(root.length - 3).getAttr('level') === 2)
  await same(one, two, 'page')
  assert.equal(root.get(root.length - 3).toString({ forceTag: true }), '<p level=2>still a child</p>')
  assert.deepEqual(root.toDelta().toJSON().children.slice(0, 2), [
    { type: 'insert', insert: 'pl', format: { bold: true } },
    { type: 'insert', insert: 'text' }
  ])
})

test('Yjs 14: typed roots, and a document that is there after the server was killed', async t => {
  const server = await Server.start(t)
  const one = open(t, server, 'typed')
  await synced(one)
  const root = one.doc.get('body', 'article')
  root.setAttr('lang', 'en')
  root.push([element('h1', 'Title')])
  const reader = await Bare.open(t, server, 'typed')
  await until('the server has it', async () => (await reader.document()).share.has('body'))
  await reader.acknowledged([1])
  await server.kill()
  one.disconnect()
  await server.start()
  const doc = new Y14.Doc()
  doc.get('body', 'article') // Yjs keeps the name of a root with each client, so it has to be said before the content comes
  const two = open(t, server, 'typed', doc)
  await synced(two)
  assert.equal(shown(two, 'body', 'article'), shown(one, 'body', 'article'))
  assert.equal(two.doc.get('body', 'article').toString({ forceTag: true }), '<article lang="en"><h1>Title</h1></article>')
})

test('Yjs 14: what was written offline arrives, and presence goes with its client', async t => {
  const server = await Server.start(t)
  const [one, two] = [open(t, server, 'offline'), open(t, server, 'offline')]
  await synced(one, two)
  one.doc.get('text').insert(0, 'base')
  await same(one, two, 'text')
  one.disconnect()
  one.doc.get('text').insert(4, ' offline')
  two.doc.get('text').insert(0, 'online ')
  one.connect()
  await same(one, two, 'text')
  assert.equal(two.doc.get('text').toString(), 'online base offline')
  one.awareness.setLocalStateField('user', { name: 'One' })
  const sees = () => [...two.awareness.getStates().values()].some(state => state.user?.name === 'One')
  await until('two sees one', sees)
  one.destroy()
  await until('one is gone', () => !sees())
})

for (const [version, Provider] of Object.entries(PROVIDERS)) {
  test(`Yjs 14 beside Yjs 13 on ${version}: texts, maps, lists and elements are the same to both`, async t => {
    const server = await Server.start(t)
    const newer = open(t, server, 'both')
    const older = connect(t, Provider, server, 'both')
    await synced(newer, older)

    older.text.insert(0, 'from 13 ', { bold: true })
    older.map.set('13', { nested: [1, null] })
    older.array.push([1, 'two'])
    const list = new Y.XmlElement('list')
    list.setAttribute('kind', 'bullet')
    list.insert(0, [new Y.XmlText('an item')])
    older.doc.getXmlFragment('xml').insert(0, [list])
    const { doc } = newer
    await until('14 has it', () => doc.get('xml').length === 1 && doc.get('array').length === 2)
    assert.equal(doc.get('text').toString(), 'from 13 ')
    assert.deepEqual(doc.get('map').getAttr('13'), { nested: [1, null] })
    assert.deepEqual(doc.get('array').toArray(), [1, 'two'])
    assert.equal(doc.get('xml').get(0).getAttr('kind'), 'bullet')

    doc.get('text').insert(8, 'from 14', { italic: true })
    doc.get('text').delete(0, 5)
    doc.get('map').setAttr('14', 'value')
    doc.get('array').delete(0, 1)
    doc.get('xml').push([element('p', 'a paragraph')])
    await until('13 has it', () => older.doc.getXmlFragment('xml').length === 2 && older.array.length === 1)
    assert.deepEqual(older.text.toDelta(), [
      { insert: '13 ', attributes: { bold: true } },
      { insert: 'from 14', attributes: { italic: true } }
    ])
    assert.deepEqual(older.map.toJSON(), { 13: { nested: [1, null] }, 14: 'value' })
    assert.deepEqual(older.array.toJSON(), ['two'])
    assert.equal(older.doc.getXmlFragment('xml').toString(), '<list kind="bullet">an item</list><p>a paragraph</p>')
  })
}
