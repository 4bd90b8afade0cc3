import assert from 'node:assert/strict'
import test from 'node:test'
import * as Y from 'yjs'
import { Bare, message, MESSAGE, update } from './clients.mjs'
import { Server, until } from './harness.mjs'

test('message 102 comes back as it was sent, with any payload', async t => {
  const server = await Server.start(t)
  const peer = await Bare.open(t, server, 'echo')
  for (const payload of [[], [0], [1, 2, 3, 255], new Uint8Array(200).fill(7)]) await peer.acknowledged(payload)
})

test('it comes back in the order it was asked for', async t => {
  const server = await Server.start(t)
  const peer = await Bare.open(t, server, 'order')
  const asked = Array.from({ length: 50 }, (_, at) => message(MESSAGE.acknowledge, [at]))
  const write = writer('x')
  for (const frame of asked) {
    peer.send(write())
    peer.send(frame)
  }
  const answers = () => peer.frames.filter(frame => frame[0] === MESSAGE.acknowledge)
  await until('all are answered', () => answers().length === asked.length)
  assert.deepEqual(answers().map(frame => frame.at(-1)), asked.map(frame => frame.at(-1)))
})

test('what was acknowledged is there after the server was killed', async t => {
  const server = await Server.start(t)
  const write = writer('x')
  for (let round = 1; round <= 5; round++) {
    const peer = await Bare.open(t, server, 'durable')
    for (let at = 0; at < 20; at++) peer.send(write())
    await peer.acknowledged([round])
    await server.kill()
    await server.start()
    const reader = await Bare.open(t, server, 'durable')
    assert.equal((await reader.document()).getText('text').length, 20 * round)
    await reader.close()
  }
})

test('an acknowledgement concerns its own document', async t => {
  const server = await Server.start(t)
  const [peer, other] = [await Bare.open(t, server, 'first'), await Bare.open(t, server, 'second')]
  const write = writer('x')
  peer.send(write())
  await Promise.all([peer.acknowledged([1]), other.acknowledged([2])])
  assert.equal((await peer.document()).getText('text').length, 1)
  assert.equal((await other.document()).getText('text').length, 0)
})

/** A function that types one more letter and gives the frame to send. */
function writer (letter) {
  const doc = new Y.Doc()
  let last
  doc.on('update', bytes => { last = update(bytes) })
  return () => {
    doc.getText('text').insert(doc.getText('text').length, letter)
    return last
  }
}
