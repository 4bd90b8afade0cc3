import assert from 'node:assert/strict'
import test from 'node:test'
import * as decoding from 'lib0/decoding'
import { Bare, message, MESSAGE, step1, syncMessage, update, Y } from './clients.mjs'
import { Server, until } from './harness.mjs'

test('a frame may hold several messages, and each answer is a frame of its own', async t => {
  const server = await Server.start(t)
  const [peer, reader] = [await Bare.open(t, server, 'frames'), await Bare.open(t, server, 'frames')]
  const doc = new Y.Doc()
  doc.getText('text').insert(0, 'one frame')
  const bytes = update(Y.encodeStateAsUpdate(doc))
  const [first, second] = [message(MESSAGE.acknowledge, [1]), message(MESSAGE.acknowledge, [2])]
  peer.send(Buffer.concat([step1(new Y.Doc()), syncMessage(1, [0, 0]), first, bytes, second]))
  const has = frame => peer.frames.some(got => Buffer.compare(got, frame) === 0)
  await until('all are answered', () => has(first) && has(second))
  assert.equal((await reader.document()).getText('text').toString(), 'one frame')
  for (const frame of [...peer.frames, ...reader.frames]) assert.equal(rest(frame), 0, `more than a message: ${frame}`)
})

/** How many bytes follow the first message of a frame. */
function rest (frame) {
  const decoder = decoding.createDecoder(frame)
  if (decoding.readVarUint(decoder) === MESSAGE.sync) decoding.readVarUint(decoder)
  decoding.readVarUint8Array(decoder)
  return decoder.arr.length - decoder.pos
}
