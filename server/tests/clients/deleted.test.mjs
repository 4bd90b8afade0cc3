// What becomes of deleted content: it goes, as in Yjs, also what lies below deleted types; with --keep-deleted it stays.

import assert from 'node:assert/strict'
import test from 'node:test'
import * as Y from 'yjs'
import { Bare, connect, PROVIDERS, synced, update } from './clients.mjs'
import { Server, until } from './harness.mjs'

const PROVIDER = PROVIDERS['y-websocket 3.1']
const PATTERN = ['--keep-deleted', 'versions/*', '--grace', '0s']

/** A document that keeps what is deleted, as an editor has it that shows earlier versions. */
const keeping = () => new Y.Doc({ gc: false })

for (const [what, flags, name] of [
  ['all documents', ['--keep-deleted'], 'any'],
  ['documents of a pattern', PATTERN, 'versions/one']
]) {
  test(`with --keep-deleted for ${what}, an earlier version is right after a reload`, async t => {
    const server = await Server.start(t, ...flags)
    const author = connect(t, PROVIDER, server, name, keeping())
    await synced(author)
    const version = write(author.doc)
    const expected = shown(author.doc)
    rewrite(author.doc)
    await saved(t, server, name, author.doc)
    author.destroy()
    await server.terminate()
    await server.start()

    const reader = connect(t, PROVIDER, server, name, keeping())
    await synced(reader)
    assert.deepEqual(shown(reader.doc), shown(author.doc))
    const earlier = Y.createDocFromSnapshot(reader.doc, Y.decodeSnapshot(version))
    assert.deepEqual(shown(earlier), expected)
  })
}

test('without it deleted content is not sent, and an earlier version lacks it', async t => {
  const server = await Server.start(t, ...PATTERN)
  const author = connect(t, PROVIDER, server, 'other/one', keeping())
  await synced(author)
  const version = write(author.doc)
  rewrite(author.doc)
  await saved(t, server, 'other/one', author.doc)

  const reader = connect(t, PROVIDER, server, 'other/one', keeping())
  await synced(reader)
  assert.deepEqual(shown(reader.doc), shown(author.doc))
  assert.ok(!Buffer.from(Y.encodeStateAsUpdate(reader.doc)).includes('first draft'))
  const earlier = Y.createDocFromSnapshot(reader.doc, Y.decodeSnapshot(version))
  assert.equal(earlier.getText('text').toString(), '')
})

test('a table that is made anew again and again is small for who comes later, and is still undone by who made it', async t => {
  const server = await Server.start(t)
  const [author, other] = [connect(t, PROVIDER, server, 'tables'), connect(t, PROVIDER, server, 'tables')]
  await synced(author, other)
  const xml = author.doc.getXmlFragment('xml')
  const undo = new Y.UndoManager(xml, { captureTimeout: 0 })
  for (let round = 0; round < 100; round++) {
    author.doc.transact(() => {
      xml.delete(0, xml.length)
      xml.insert(0, [table(round)])
    })
  }
  await until('the other shows the last table', () => other.doc.getXmlFragment('xml').toString().includes('cell 99.0.0'))

  const bare = await Bare.open(t, server, 'tables')
  const late = await bare.document()
  const expected = Y.encodeStateAsUpdate(other.doc).length
  const received = bare.frames.reduce((most, frame) => Math.max(most, frame.length), 0)
  assert.ok(received < 1.2 * expected + 2000, `${received} bytes, and ${expected} in Yjs`)
  assert.equal(late.getXmlFragment('xml').toString(), xml.toString())

  for (let round = 0; round < 3; round++) undo.undo()
  undo.redo()
  await until('the other shows what was undone', () => other.doc.getXmlFragment('xml').toString() === xml.toString())
  assert.ok(xml.toString().includes('cell 97.0.0'))
  const later = await (await Bare.open(t, server, 'tables')).document()
  assert.equal(later.getXmlFragment('xml').toString(), xml.toString())
})

/** Text, and a type with something in it; gives the version of that moment, encoded. */
function write (doc) {
  doc.getText('text').insert(0, 'first draft')
  doc.getMap('map').set('list', Y.Array.from(['kept', new Y.Map([['deep', 'value']])]))
  return Y.encodeSnapshot(Y.snapshot(doc))
}

function rewrite (doc) {
  doc.getText('text').delete(0, 11)
  doc.getText('text').insert(0, 'second')
  doc.getMap('map').get('list').delete(0, 2)
  doc.getMap('map').set('list', 'replaced')
}

function shown (doc) {
  return [doc.getText('text').toString(), doc.getMap('map').toJSON()]
}

/** Waits until the server has on disk all that a document says. */
async function saved (t, server, name, doc) {
  const bare = await Bare.open(t, server, name)
  bare.send(update(Y.encodeStateAsUpdate(doc)))
  await bare.acknowledged([1])
}

function table (round) {
  const made = new Y.XmlElement('table')
  made.insert(0, Array.from({ length: 10 }, (_, row) => {
    const cells = new Y.XmlElement('row')
    cells.insert(0, Array.from({ length: 10 }, (_, cell) => new Y.XmlText(`cell ${round}.${row}.${cell}`)))
    return cells
  }))
  return made
}
