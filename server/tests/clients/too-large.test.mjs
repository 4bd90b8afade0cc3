import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import test from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import WebSocket from 'ws'
import * as Y from 'yjs'
import { Bare, connect, message, MESSAGE, PROVIDERS, synced, syncMessage, update } from './clients.mjs'
import { Server, until } from './harness.mjs'

const MIB = 1 << 20
const Provider = PROVIDERS['y-websocket 3.1']

/** What an application hears of its closed connections. */
function closes (provider) {
  const heard = []
  provider.on('connection-close', event => { if (event !== null) heard.push({ code: event.code, reason: event.reason }) })
  return heard
}

/** A value in so many arrays. */
function nested (depth) {
  let value = 'core'
  for (let level = 0; level < depth; level++) value = [value]
  return value
}

for (const [version, Provider] of Object.entries(PROVIDERS)) {
  test(`${version}: presence that is too large is left out, and the text of that person arrives`, async t => {
    const server = await Server.start(t)
    const writer = connect(t, Provider, server, 'presence')
    const reader = connect(t, Provider, server, 'presence')
    const heard = closes(writer)
    await synced(writer, reader)
    const seen = () => reader.awareness.getStates().get(writer.doc.clientID)
    writer.awareness.setLocalState({ name: 'Ada' })
    await until('the presence is seen', () => seen()?.name === 'Ada')
    writer.awareness.setLocalState({ name: 'Ada', picture: 'x'.repeat(71_000) })
    writer.awareness.setLocalState({ name: 'Ada', picture: 'y'.repeat(71_000) })
    writer.text.insert(0, 'text')
    await until('the text arrives', () => reader.text.toString() === 'text')
    assert.deepEqual(seen(), { name: 'Ada' }, 'the last one that was not too large stays')
    writer.awareness.setLocalState({ name: 'Ada', picture: 'small' })
    await until('the next presence is seen', () => seen().picture === 'small')
    assert.deepEqual(heard, [])
    assert.equal(server.log.split('awareness').length, 2, 'one warning for one connection')
  })
}

test('presence of more clients than one connection may speak for is left out', async t => {
  const server = await Server.start(t)
  const reader = connect(t, Provider, server, 'crowd')
  await synced(reader)
  const crowd = await Bare.open(t, server, 'crowd')
  const state = client => [client, 1, 2, 0x7b, 0x7d]
  const clients = Array.from({ length: 100 }, (_, n) => n + 1)
  crowd.send(message(MESSAGE.awareness, [clients.length, ...clients.flatMap(state)]))
  await crowd.acknowledged([1])
  await until('those that it may speak for are seen', () => reader.awareness.getStates().size === 65)
})

test('a paste over the limit is refused in words, and whoever comes back with it is slowed down', async t => {
  const server = await Server.start(t, '--max-document-bytes', '1MiB')
  const writer = connect(t, Provider, server, 'paste')
  const neighbour = connect(t, Provider, server, 'paste')
  const [heard, neighbourHeard] = [closes(writer), closes(neighbour)]
  let connections = 0
  writer.on('status', ({ status }) => { if (status === 'connected') connections++ })
  await synced(writer, neighbour)
  connections = 0
  writer.text.insert(0, 'x'.repeat(1_500_000))
  await pause(5000)
  const before = connections
  assert.ok(before <= 4, `${before} connections in 5 s`)
  assert.ok(heard.length > 0)
  for (const { code, reason } of heard) {
    assert.equal(code, 1009)
    assert.match(reason, /the document would be too large.*reload/)
  }
  // Until it is sent away again, it gets what others write; and they notice nothing.
  await until('the writer is back', () => writer.wsconnected)
  neighbour.map.set('still', 'here')
  await until('the writer hears of it', () => writer.map.get('still') === 'here')
  const newcomer = connect(t, Provider, server, 'paste')
  const started = Date.now()
  await synced(newcomer)
  assert.ok(Date.now() - started < 2000, 'who comes from the same address is not slowed down')
  assert.deepEqual(neighbourHeard, [])
})

test('what depends on a refused update is refused in the same words', async t => {
  const server = await Server.start(t, '--max-document-bytes', '1MiB')
  const doc = new Y.Doc()
  const updates = []
  doc.on('update', bytes => updates.push(bytes))
  doc.getText('text').insert(0, 'x'.repeat(1_500_000))
  doc.getText('text').insert(0, 'typed later')
  const first = await Bare.open(t, server, 'gap')
  first.send(update(updates[0]))
  const { code, reason } = await first.closed
  const second = await Bare.open(t, server, 'gap')
  second.send(update(updates[1]))
  second.send(message(MESSAGE.acknowledge, [1]))
  assert.deepEqual(await second.closed, { code, reason })
  assert.ok(!second.frames.some(frame => frame[0] === MESSAGE.acknowledge), 'nothing of it is acknowledged')
})

test('what was refused is taken in when there is room for it', async t => {
  const server = await Server.start(t, '--max-document-bytes', '1MiB')
  const other = connect(t, Provider, server, 'heals')
  await synced(other)
  const blob = new Uint8Array(randomBytes(700_000))
  other.map.set('blob', blob)
  const writer = connect(t, Provider, server, 'heals')
  await until('it is there', () => writer.map.get('blob') !== undefined)
  const heard = closes(writer)
  writer.text.insert(0, 'x'.repeat(600_000))
  await until('it is refused', () => heard.length > 0)
  other.map.set('blob', 'gone')
  await until('it arrives after all', () => other.text.length === 600_000, 30)
  writer.text.insert(0, 'typed later')
  await until('what follows arrives', () => other.text.length === 600_011)
})

test('a value that is nested too deep is refused in words, and whoever comes back with it is slowed down', async t => {
  const server = await Server.start(t)
  const writer = connect(t, Provider, server, 'deep')
  const heard = closes(writer)
  await synced(writer)
  writer.map.set('deep', nested(130))
  await pause(5000)
  assert.ok(heard.length >= 1 && heard.length <= 4, `closed ${heard.length} times in 5 s`)
  for (const { code, reason } of heard) {
    assert.equal(code, 1008)
    assert.match(reason, /nested too deep.*reload/)
  }
})

test('a message that is larger than any document is refused in words, and whoever comes back with it is slowed down', async t => {
  const server = await Server.start(t, '--max-document-bytes', '1MiB', '--max-message-bytes', '1MiB')
  const writer = connect(t, Provider, server, 'message')
  const heard = closes(writer)
  await synced(writer)
  writer.text.insert(0, randomBytes(1_500_000).toString('latin1'))
  await pause(5000)
  assert.ok(heard.length >= 1 && heard.length <= 4, `closed ${heard.length} times in 5 s`)
  for (const { code, reason } of heard) {
    assert.equal(code, 1009)
    assert.match(reason, /message is too large/)
  }
})

/** A WebSocket that offers no compression. */
class PlainSocket extends WebSocket {
  constructor (url, protocols) { super(url, protocols, { perMessageDeflate: false }) }
}

for (const [how, WebSocketPolyfill] of Object.entries({ plain: PlainSocket, compressed: WebSocket })) {
  test(`offline work above the size of most messages arrives: ${how}`, async t => {
    const server = await Server.start(t, '--max-message-bytes', '2MiB')
    const doc = new Y.Doc()
    // Zeros, which compress to next to nothing, and what does not compress.
    for (const part of [new Uint8Array(5 * MIB), new Uint8Array(randomBytes(3 * MIB))]) doc.getArray('array').push([part])
    const writer = connect(t, Provider, server, 'offline', doc, { WebSocketPolyfill })
    const heard = closes(writer)
    const reader = connect(t, Provider, server, 'offline')
    await until('all of it arrives', () => reader.array.length === 2, 30)
    assert.deepEqual(heard, [])
  })
}

test('40 MiB of offline work arrive as large messages in bounded memory, in turns', async t => {
  const server = await Server.start(t)
  const frame = syncMessage(1, (() => {
    const doc = new Y.Doc()
    doc.getArray('array').push([new Uint8Array(randomBytes(40 * MIB))])
    return Y.encodeStateAsUpdate(doc)
  })())
  const before = server.memory().resident
  const peers = await Promise.all(Array.from({ length: 6 }, () => Bare.open(t, server, 'large')))
  for (const peer of peers) peer.send(frame)
  await Promise.all(peers.map((peer, n) => peer.acknowledged([n], 60)))
  const grown = server.memory().peak - before
  assert.ok(grown < 8 * 40 * MIB, `the server grew by ${Math.round(grown / MIB)} MiB`)
  assert.equal((await peers[0].document()).getArray('array').get(0).length, 40 * MIB)
})

test('large messages arrive one after the other, though nothing follows them', async t => {
  const server = await Server.start(t, '--max-message-bytes', '1MiB')
  const doc = new Y.Doc()
  doc.getArray('array').push([new Uint8Array(randomBytes(2 * MIB))])
  for (let n = 0; n < 6; n++) {
    const peer = await Bare.open(t, server, `document ${n}`)
    peer.send(update(Y.encodeStateAsUpdate(doc)))
    const reader = await Bare.open(t, server, `document ${n}`)
    await until('it has arrived', async () => (await reader.document()).getArray('array').length === 1)
  }
})

test('who holds the right to send a large message and is too slow is closed in words, and the next one has its turn', async t => {
  const server = await Server.start(t, '--max-message-bytes', '1MiB')
  const frame = syncMessage(2, (() => {
    const doc = new Y.Doc()
    doc.getArray('array').push([new Uint8Array(randomBytes(3 * MIB))])
    return Y.encodeStateAsUpdate(doc)
  })())
  const slow = await Promise.all(['one', 'other'].map(name => Bare.open(t, server, name)))
  // A binary frame of 2 MiB, of which only the beginning comes.
  for (const { socket } of slow) socket._socket.write(Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 2]))
  await pause(100)
  const next = await Bare.open(t, server, 'next')
  next.send(frame)
  const bystander = await Bare.open(t, server, 'bystander')
  await bystander.acknowledged([1])
  for (const peer of slow) {
    const { code, reason } = await peer.closed
    assert.equal(code, 1013)
    assert.match(reason, /too slow for so large a message/)
  }
  await next.acknowledged([2])
})
