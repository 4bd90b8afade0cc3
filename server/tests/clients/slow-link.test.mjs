import assert from 'node:assert/strict'
import test from 'node:test'
import * as Y from 'yjs'
import { connect, converged, PROVIDERS, synced } from './clients.mjs'
import { Server, until } from './harness.mjs'
import { Proxy } from './proxy.mjs'

// Both at the same time, since each takes longer than clients wait for a whole message.
test('5 MB arrive over a link on which they take longer than clients wait, and show at once', async t => {
  const server = await Server.start(t)
  const writer = connect(t, PROVIDERS['y-websocket 3.1'], server, 'long')
  const other = connect(t, PROVIDERS['y-websocket 3.1'], server, 'long')
  await synced(writer, other)
  writer.doc.transact(() => {
    for (let paragraph = 0; paragraph < 1000; paragraph++) writer.array.push([new Y.Text(noise(5000))])
  })
  await converged(writer, other)
  const link = await Proxy.start(t, server, 125_000)
  const start = Date.now()
  await Promise.all(Object.values(PROVIDERS).map(async Provider => {
    const reader = connect(t, Provider, link, 'long')
    let closes = 0
    let changes = 0
    reader.on('connection-close', () => closes++)
    reader.doc.on('update', () => changes++)
    await until('it is there', () => reader.synced, 120)
    assert.equal(closes, 0, 'its watchdog has found nothing to complain of')
    assert.equal(changes, 1, 'all of it has come into sight at once')
    await converged(writer, reader)
  }))
  assert.ok(Date.now() - start > 30_000, 'as one message it would not have arrived')
})

/** Text that compression does not make much shorter. */
function noise (length) {
  let text = ''
  while (text.length < length) text += Math.random().toString(36).slice(2)
  return text.slice(0, length)
}
