import assert from 'node:assert/strict'
import http from 'node:http'
import test from 'node:test'
import * as Y from 'yjs'
import { Bare, connect, message, MESSAGE, PROVIDERS, step1, synced, syncMessage, update } from './clients.mjs'
import { Server, until } from './harness.mjs'
import { HOSTILE } from './hostile-bytes.mjs'

const MIB = 1 << 20
const VIOLATIONS = [1003, 1007, 1008, 1009]
const Provider = PROVIDERS['y-websocket 3.1']

const FRAMES = {
  'an empty frame': [],
  'a message of an unknown type': [77],
  'a message type that never ends': Array(20).fill(0xff),
  'a sync message without a kind': [0],
  'a sync message of an unknown kind': [0, 9, 0],
  'a SyncStep1 that is cut': [0, 0],
  'a SyncStep1 whose payload is cut': [0, 0, 5, 1],
  'an update whose payload is cut': [0, 2, 200, 1, 1],
  'an awareness whose payload is cut': [1, 9, 1],
  'an acknowledgement whose payload is cut': [102, 9, 1],
  'a malformed update': update([1, 2, 3, 4, 5]),
  'a malformed SyncStep2': syncMessage(1, [9, 9, 9])
}

for (const [what, frame] of Object.entries(FRAMES)) {
  test(`${what} closes its own connection only, with a reason`, async t => {
    const room = await Room.open(t, 'frames')
    const peer = await Bare.open(t, room.server, 'frames')
    peer.send(Uint8Array.from(frame))
    assertViolation(await closeOf(peer))
    await room.goesOn()
  })
}

test('a text frame is answered by 1003 with a reason', async t => {
  const room = await Room.open(t, 'text')
  const peer = await Bare.open(t, room.server, 'text')
  peer.socket.send('hello')
  const { code, reason } = await closeOf(peer)
  assert.equal(code, 1003)
  assert.notEqual(reason, '')
  await room.goesOn()
})

test('a frame that says it will be 1 GiB is answered by 1009 at once', async t => {
  const room = await Room.open(t, 'oversized')
  const peer = await Bare.open(t, room.server, 'oversized')
  // Binary, final, masked, length in 64 bits, a mask of zeros; the payload never comes.
  peer.socket._socket.write(Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0]))
  const { code, reason } = await closeOf(peer)
  assert.equal(code, 1009)
  assert.notEqual(reason, '')
  await room.goesOn()
})

test('hostile bytes are refused with a reason or do no harm, in little memory, and nobody else notices', async t => {
  const room = await Room.open(t, 'hostile')
  const before = room.server.memory().resident
  for (const [what, payload] of Object.entries(HOSTILE)) {
    const frames = { ...Object.fromEntries([0, 1, 2].map(kind => [`sync ${kind}`, syncMessage(kind, payload)])), awareness: message(MESSAGE.awareness, payload) }
    for (const [as, frame] of Object.entries(frames)) {
      // A document of its own: what is accepted as harmless would otherwise reach the others, as it should.
      const peer = await Bare.open(t, room.server, `hostile ${what} ${as}`)
      peer.send(frame)
      const answer = await Promise.race([peer.closed, peer.document().catch(() => peer.closed)])
      if (peer.isClosed) assertViolation(await peer.closed, `${what} as ${as}`)
      else assert.ok(answer instanceof Y.Doc)
      peer.socket.terminate()
      assert.ok(room.server.isRunning, `the server is alive after ${what} as ${as}`)
    }
  }
  const grown = room.server.memory().peak - before
  assert.ok(grown < 32 * MIB, `the server grew by ${Math.round(grown / MIB)} MiB`)
  await room.goesOn()
})

test('hostile bytes in a room with others do not reach them as an error', async t => {
  const room = await Room.open(t, 'shared')
  for (const payload of Object.values(HOSTILE)) {
    const peer = await Bare.open(t, room.server, 'shared')
    for (const frame of [syncMessage(2, payload), message(MESSAGE.awareness, payload)]) if (peer.isOpen) peer.send(frame)
    await Promise.race([peer.closed, peer.document().catch(() => {})])
    peer.socket.terminate()
  }
  await room.goesOn()
})

test('updates 0 and 2 without 1 wait for 1', async t => {
  const server = await Server.start(t)
  const peer = await Bare.open(t, server, 'gap')
  const doc = new Y.Doc()
  const updates = []
  doc.on('update', bytes => updates.push(bytes))
  for (const letter of 'abc') doc.getText('text').insert(doc.getText('text').length, letter)
  peer.send(update(updates[0]))
  peer.send(update(updates[2]))
  assert.equal((await peer.document()).getText('text').toString(), 'a')
  peer.send(update(updates[1]))
  assert.equal((await peer.document()).getText('text').toString(), 'abc')
})

test('a client of y-websocket that names no document is closed in words', async t => {
  const server = await Server.start(t)
  const peer = await Bare.open(t, server, '')
  peer.send(step1(new Y.Doc()))
  const { code, reason } = await peer.closed
  assert.equal(code, 1008)
  assert.match(reason, /no document is named/)
})

test('a name of 10 KB is refused: 414', async t => {
  const server = await Server.start(t)
  await assertRefused(server, `/${'n'.repeat(10_000)}`, status => status === 414)
})

test('a name that is not UTF-8 is refused: 400', async t => {
  const server = await Server.start(t)
  for (const path of ['/%FF', '/a/%C3%28', '/%ED%A0%80']) await assertRefused(server, path, status => status === 400)
})

test('/healthz and /readyz answer 200 to a plain request', async t => {
  const server = await Server.start(t)
  for (const path of ['/healthz', '/readyz']) assert.equal((await fetch(server.http + path)).status, 200)
})

/** A server with a room in which somebody works who must not notice anything. */
class Room {
  static async open (t, name) {
    const room = new Room()
    room.server = await Server.start(t)
    room.providers = [connect(t, Provider, room.server, name), connect(t, Provider, room.server, name)]
    room.closes = 0
    for (const provider of room.providers) provider.on('connection-close', () => room.closes++)
    await synced(...room.providers)
    return room
  }

  async goesOn () {
    const [a, b] = this.providers
    a.map.set('still', 'here')
    await until('the others still hear of each other', () => b.map.get('still') === 'here')
    assert.equal(this.closes, 0)
  }
}

async function closeOf (peer) {
  await until('the server closes the connection', () => peer.isClosed)
  return await peer.closed
}

function assertViolation ({ code, reason }, what = 'this') {
  assert.ok(VIOLATIONS.includes(code), `${what}: close code ${code}`)
  assert.notEqual(reason, '', what)
}

async function assertRefused (server, path, isRight) {
  const { status, text } = await upgrade(server, path)
  assert.ok(isRight(status), `${path.slice(0, 20)}: ${status}`)
  assert.notEqual(text.trim(), '')
}

/** Asks for a WebSocket at a path sent exactly as it stands here. */
function upgrade (server, path) {
  return new Promise((resolve, reject) => {
    const headers = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': 13, 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' }
    const request = http.get({ host: '127.0.0.1', port: server.port, path, headers })
    request.on('error', reject)
    request.on('upgrade', (response, socket) => {
      socket.destroy()
      resolve({ status: response.statusCode, text: '' })
    })
    request.on('response', async response => {
      let text = ''
      for await (const chunk of response) text += chunk
      resolve({ status: response.statusCode, text })
    })
  })
}
