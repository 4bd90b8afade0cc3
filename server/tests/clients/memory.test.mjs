import assert from 'node:assert/strict'
import test from 'node:test'
import * as Y from 'yjs'
import { Bare, update } from './clients.mjs'
import { Server, until } from './harness.mjs'

const MIB = 1 << 20
const DOCUMENTS = 5000
const AT_A_TIME = 8
const LETTERS = 5000

test('5,000 documents one after another leave no memory behind', async t => {
  const server = await Server.start(t, '--grace', '100ms')
  await visit(server, 0, 1000)
  const before = server.memory().resident
  await visit(server, 1000, DOCUMENTS)
  // 4,000 documents of 5 KB that stay open are 20 MB of text alone.
  await until(`it is back near ${Math.round(before / MIB)} MiB; it has ${Math.round(server.memory().resident / MIB)}`,
    () => server.memory().resident < before + 12 * MIB)
  const reader = await Bare.open(t, server, 'document 77')
  assert.equal((await reader.document()).getText('text').length, LETTERS)
})

/** Opens documents, writes into each, and leaves again. */
async function visit (server, from, to) {
  let next = from
  const work = async () => {
    while (next < to) {
      const name = `document ${next++}`
      const peer = await new Bare(`${server.url}/${name}`).opened()
      peer.send(written(name))
      assert.equal((await peer.document()).getText('text').length, LETTERS)
      await peer.close()
    }
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, work))
}

function written (name) {
  const doc = new Y.Doc()
  doc.getText('text').insert(0, name.padEnd(LETTERS, '.'))
  return update(Y.encodeStateAsUpdate(doc))
}
