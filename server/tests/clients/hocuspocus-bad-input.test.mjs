import assert from 'node:assert/strict'
import test from 'node:test'
import * as encoding from 'lib0/encoding'
import * as decoding from 'lib0/decoding'
import * as Y from 'yjs'
import { Bare } from './clients.mjs'
import { Server, until } from './harness.mjs'

const TYPE = { sync: 0, awareness: 1, auth: 2, queryAwareness: 3, stateless: 5, broadcastStateless: 6, close: 7, syncStatus: 8 }

/** A frame of Hocuspocus: an address, a type, and what `write` adds. */
function frame (address, type, write = () => {}) {
  return encoding.encode(encoder => {
    encoding.writeVarUint8Array(encoder, Buffer.from(address))
    encoding.writeVarUint(encoder, type)
    write(encoder)
  })
}

const auth = (address, token = 'tok', version = '4.8.0') => frame(address, TYPE.auth, encoder => {
  encoding.writeVarUint(encoder, 0)
  encoding.writeVarString(encoder, token)
  if (version !== null) encoding.writeVarString(encoder, version)
})
const sync = (address, kind, body) => frame(address, TYPE.sync, encoder => {
  encoding.writeVarUint(encoder, kind)
  encoding.writeVarUint8Array(encoder, body)
})
const step1 = address => sync(address, 0, Uint8Array.of(0))

function updateOf (text) {
  const doc = new Y.Doc()
  doc.getText('text').insert(0, text)
  return Y.encodeStateAsUpdate(doc)
}

/** What the server has said, as `[address, type, rest]`. */
const heard = bare => bare.frames.map(bytes => {
  const decoder = decoding.createDecoder(bytes)
  return [decoding.readVarString(decoder), decoding.readVarUint(decoder), decoding.readTailAsUint8Array(decoder)]
})
const text = rest => Buffer.from(rest).toString()
const isGranted = (bare, name) => heard(bare).some(([address, type, rest]) => address === name && type === TYPE.auth && rest[0] === 2)
const denial = (bare, name) => heard(bare).filter(([address, type, rest]) => address === name && type === TYPE.auth && rest[0] === 1).map(([, , rest]) => text(rest.slice(2))).at(-1)
const closing = (bare, name) => heard(bare).filter(([address, type]) => address === name && type === TYPE.close).map(([, , rest]) => text(rest.slice(1))).at(-1)
const statuses = (bare, name) => heard(bare).filter(([address, type]) => address === name && type === TYPE.syncStatus).map(([, , rest]) => rest[0])

/** A socket on which `names` are open. */
async function opened (t, server, ...names) {
  const bare = await Bare.open(t, server, '')
  names.forEach(name => bare.send(auth(name)))
  await until('all are granted', () => names.every(name => isGranted(bare, name)))
  return bare
}

/** Somebody else is served as if nothing had happened. */
async function isServed (t, server) {
  const bare = await opened(t, server, 'elsewhere')
  bare.send(sync('elsewhere', 2, updateOf('x')))
  await until('somebody else is saved', () => statuses(bare, 'elsewhere').includes(1))
  await bare.close()
}

test('a frame that is of no document closes the connection, in words', async t => {
  const server = await Server.start(t)
  for (const [bytes, reason] of [
    [[], /malformed message: empty frame/],
    [[5, 1], /malformed message/],
    [[0, 0, 1, 0], /no document is named/],
    [frame(Buffer.from([0xff, 0xfe]), TYPE.queryAwareness), /not UTF-8/],
    [frame('x'.repeat(10_000), TYPE.queryAwareness), /address of a message is too long/],
    [frame('never opened', 99), /unknown message type 99/],
    [frame('never opened', TYPE.broadcastStateless), /unknown message type 6/],
    [frame('never opened', TYPE.syncStatus, encoder => encoding.writeVarInt(encoder, 1)), /unknown message type 8/]
  ]) {
    const bare = await Bare.open(t, server, '')
    bare.send(Uint8Array.from(bytes))
    const closed = await bare.closed
    assert.equal(closed.code, 1008)
    assert.match(closed.reason, reason)
  }
  const bare = await Bare.open(t, server, '')
  bare.socket.send('text')
  assert.equal((await bare.closed).code, 1003)
  await isServed(t, server)
})

test('what cannot be read of an open document shuts that document only', async t => {
  const server = await Server.start(t)
  const bare = await opened(t, server, 'good', 'unknown', 'status', 'broadcast', 'malformed', 'state vector', 'awareness', 'text')
  for (const [name, bad, reason] of [
    ['unknown', frame('unknown', 99), /unknown message type 99/],
    ['status', frame('status', TYPE.syncStatus, encoder => encoding.writeVarInt(encoder, 1)), /unknown message type 8/],
    ['broadcast', frame('broadcast', TYPE.broadcastStateless, encoder => encoding.writeVarString(encoder, 'x')), /unknown message type 6/],
    ['malformed', sync('malformed', 2, Uint8Array.of(1, 2, 3)), /malformed update/],
    ['state vector', sync('state vector', 0, Uint8Array.of(9)), /malformed state vector/],
    ['awareness', frame('awareness', TYPE.awareness, encoder => encoding.writeVarUint8Array(encoder, Uint8Array.of(7))), /bad awareness/],
    ['text', frame('text', TYPE.stateless, encoder => encoding.writeVarUint8Array(encoder, Uint8Array.of(0xff))), /not UTF-8/]
  ]) {
    bare.send(bad)
    await until(`${name} is shut`, () => closing(bare, name) !== undefined)
    assert.match(closing(bare, name), reason)
  }
  bare.send(sync('malformed', 2, updateOf('ignored')))
  bare.send(sync('good', 2, updateOf('x')))
  await until('the other one is saved', () => statuses(bare, 'good').includes(1))
  assert.deepEqual(statuses(bare, 'malformed'), [])
  bare.send(auth('malformed'))
  bare.send(sync('malformed', 2, updateOf('again')))
  await until('it can be opened again', () => statuses(bare, 'malformed').includes(1))
})

test('a provider that does not tell its version hears that it is denied, which each understands', async t => {
  const server = await Server.start(t)
  const bare = await Bare.open(t, server, '')
  bare.send(auth('old', 'tok', null))
  bare.send(sync('old', 2, Uint8Array.of(1, 2, 3)))
  await until('it is denied', () => denial(bare, 'old') !== undefined)
  assert.match(denial(bare, 'old'), /malformed update/)
  assert.equal(closing(bare, 'old'), undefined)
})

test('a name, a session or a token that is too long is denied, once', async t => {
  const server = await Server.start(t)
  const bare = await opened(t, server, 'good')
  bare.send(auth('x'.repeat(1100)))
  bare.send(step1('x'.repeat(1100)))
  bare.send(auth('token', 'x'.repeat(1 << 20)))
  bare.send(auth('\0session'))
  await until('all are denied', () => ['x'.repeat(1100), 'token', '\0session'].every(name => denial(bare, name) !== undefined))
  assert.match(denial(bare, 'x'.repeat(1100)), /1024 bytes at most, this one has 1100/)
  assert.match(denial(bare, 'token'), /token is too long/)
  assert.match(denial(bare, '\0session'), /may not be empty/)
  bare.send(sync('good', 2, updateOf('x')))
  await until('the other one is saved', () => statuses(bare, 'good').includes(1))
  assert.equal(heard(bare).filter(([, type, rest]) => type === TYPE.auth && rest[0] === 1).length, 3)
})

test('of ten thousand documents on one socket a thousand are open, and the others are denied', async t => {
  const server = await Server.start(t, '--max-messages-per-second', '1000000')
  const bare = await Bare.open(t, server, '')
  for (let at = 0; at < 10_000; at++) bare.send(auth(`many/${at}`))
  await until('all are answered', () => bare.frames.length >= 10_000, 60)
  const answers = heard(bare).filter(([, type]) => type === TYPE.auth).map(([, , rest]) => rest[0])
  assert.deepEqual([answers.filter(answer => answer === 2).length, answers.filter(answer => answer === 1).length], [1000, 9000])
  assert.match(denial(bare, 'many/9999'), /too many documents/)
  bare.send(frame('many/0', TYPE.close))
  bare.send(auth('one more'))
  await until('a place is free again', () => isGranted(bare, 'one more'))
  await isServed(t, server)
})

test('sessions of one document are told apart, and answered as they came', async t => {
  const server = await Server.start(t)
  const bare = await opened(t, server, 'shared', 'shared\0one', 'shared\0two')
  bare.send(auth('shared\0one'))
  bare.send(sync('shared\0one', 2, updateOf('hello')))
  await until('it is saved', () => statuses(bare, 'shared\0one').includes(1))
  const got = name => heard(bare).filter(([address, type, rest]) => address === name && type === TYPE.sync && rest[0] === 2).length
  await until('the others get it', () => got('shared') === 1 && got('shared\0two') === 1)
  assert.deepEqual([statuses(bare, 'shared'), statuses(bare, 'shared\0two'), got('shared\0one')], [[], [], 0])
})

test('a document that is closed while it is loaded is gone, and can be opened again', async t => {
  const server = await Server.start(t)
  const bare = await Bare.open(t, server, '')
  for (let round = 0; round < 200; round++) {
    bare.send(auth('hasty'))
    bare.send(step1('hasty'))
    bare.send(frame('hasty', TYPE.close))
  }
  bare.send(auth('hasty'))
  bare.send(sync('hasty', 2, updateOf('x')))
  await until('it is saved', () => statuses(bare, 'hasty').includes(1))
})

test('pings are answered, and who floods with them reads the answers or is not read', async t => {
  const server = await Server.start(t, '--max-messages-per-second', '1000000')
  const bare = await Bare.open(t, server, '')
  bare.send(Uint8Array.of(9))
  await until('a pong', () => bare.frames.some(got => got.length === 1 && got[0] === 10))
  bare.send(Uint8Array.of(10))
  bare.socket.pause()
  for (let at = 0; at < 200_000; at++) bare.send(Uint8Array.of(9))
  await isServed(t, server)
  assert.ok(server.memory().resident < 100e6)
  bare.socket.resume()
  await until('all are answered', () => bare.frames.length === 200_001, 60)
})

test('a stateless text goes to the other people of the document, and one that is too long to nobody', async t => {
  const server = await Server.start(t)
  const [one, two] = [await opened(t, server, 'texts'), await opened(t, server, 'texts')]
  const stateless = payload => frame('texts', TYPE.stateless, encoder => encoding.writeVarString(encoder, payload))
  const texts = bare => heard(bare).filter(([, type]) => type === TYPE.stateless).map(([, , rest]) => text(rest.slice(1)))
  one.send(step1('texts'))
  two.send(step1('texts'))
  await until('both are here', () => [one, two].every(bare => heard(bare).some(([, type, rest]) => type === TYPE.sync && rest[0] === 1)))
  one.send(stateless('hello'))
  await until('the other hears it', () => texts(two).includes('hello'))
  one.send(stateless('x'.repeat(100_000)))
  await until('it is shut', () => closing(one, 'texts') !== undefined)
  assert.deepEqual([texts(one), texts(two)], [[], ['hello']])
})

test('a message that is larger than any may be ends the connection with 1009, later and later', async t => {
  const server = await Server.start(t, '--max-message-bytes', '64KiB', '--max-document-bytes', '64KiB')
  for (let round = 0; round < 2; round++) {
    const bare = await opened(t, server, 'large')
    const start = Date.now()
    bare.send(sync('large', 2, new Uint8Array(1 << 20)))
    assert.equal((await bare.closed).code, 1009)
    assert.ok(round === 0 || Date.now() - start > 900)
  }
  const stranger = await Bare.open(t, server, '')
  stranger.send(new Uint8Array(1 << 20))
  assert.equal((await stranger.closed).code, 1009)
})

test('a document that is shut before a message larger than any may be, while nothing is read, does not stay open', async t => {
  const server = await Server.start(t, '--max-message-bytes', '64KiB', '--max-document-bytes', '1MiB', '--max-messages-per-second', '1000000')
  const bare = await opened(t, server, 'blocked')
  const writer = await opened(t, server, 'blocked')
  bare.socket.pause()
  const filler = frame('blocked', TYPE.stateless, encoder => encoding.writeVarString(encoder, 'x'.repeat(60_000)))
  for (let at = 0; at < 200; at++) writer.send(filler)
  const lagging = async () => /^coscribe_lagging_peers 1$/m.test(await (await fetch(`${server.http}/metrics`)).text())
  await until('it lags', lagging)
  bare.send(sync('blocked', 2, Uint8Array.of(1, 2, 3)))
  bare.send(new Uint8Array(4 << 20))
  bare.socket.resume()
  await until('it is closed', () => bare.isClosed)
  assert.ok([1008, 1009].includes((await bare.closed).code), 'for whichever the room has heard of first')
})
