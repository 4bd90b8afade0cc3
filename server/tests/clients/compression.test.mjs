import assert from 'node:assert/strict'
import test from 'node:test'
import WebSocket from 'ws'
import * as Y from 'yjs'
import { converged, PROVIDERS } from './clients.mjs'
import { Server, until } from './harness.mjs'

/** What a client may ask for, and whether it gets compression; with `threshold: 0` it compresses all, as browsers do. */
const OFFERS = [
  { options: { threshold: 0 }, agreed: true },
  { options: { threshold: 0, clientMaxWindowBits: 9 }, agreed: true },
  { options: { serverMaxWindowBits: 9, clientNoContextTakeover: true }, agreed: true },
  { options: { threshold: 0, clientNoContextTakeover: false }, agreed: true },
  { options: { threshold: 0, clientNoContextTakeover: false, clientMaxWindowBits: false }, agreed: true },
  { options: { serverMaxWindowBits: 8 }, agreed: false },
  { options: false, agreed: false }
]

for (const [version, Provider] of Object.entries(PROVIDERS)) {
  test(`${version}: clients that compress in different ways, or don't, write one document`, async t => {
    const server = await Server.start(t)
    const peers = OFFERS.map(({ options }) => connect(t, Provider, server, options))
    await until('all are synced', () => peers.every(peer => peer.synced))
    assert.deepEqual(peers.map(({ ws }) => ws.extensions !== ''), OFFERS.map(({ agreed }) => agreed))
    for (const [at, { text, map }] of peers.entries()) {
      text.insert(0, `written by ${at}, `.repeat(2 ** at * 20))
      for (let n = 0; n < 50; n++) map.set(`${at}-${n}`, n)
    }
    await converged(...peers)
    assert.equal(peers[0].text.length, 'written by 0, '.length * 20 * (2 ** OFFERS.length - 1))
  })

  test(`${version}: a document of a megabyte is sent in a third of that`, async t => {
    const server = await Server.start(t)
    const writer = connect(t, Provider, server, {})
    const words = Array.from({ length: 150_000 }, (_, n) => `word${n * n % 977}`).join(' ')
    writer.text.insert(0, words)
    const [compressing, plain] = [connect(t, Provider, server, {}), connect(t, Provider, server, false)]
    await converged(writer, compressing, plain)
    const [less, more] = [compressing, plain].map(({ ws }) => ws._socket.bytesRead)
    assert.ok(more > words.length && less < words.length / 3, `${less} and ${more} of ${words.length} bytes`)
  })
}

test('with --compression off nothing is agreed on', async t => {
  const server = await Server.start(t, '--compression', 'off')
  const provider = connect(t, PROVIDERS['y-websocket 3.1'], server, {})
  await until('it is synced', () => provider.synced)
  assert.equal(provider.ws.extensions, '')
})

/** A provider whose WebSocket offers what `perMessageDeflate` says. */
function connect (t, Provider, server, perMessageDeflate) {
  class Socket extends WebSocket {
    constructor (url, protocols) {
      super(url, protocols, { perMessageDeflate })
    }
  }
  const doc = new Y.Doc()
  const provider = new Provider(server.url, 'doc', doc, { disableBc: true, WebSocketPolyfill: Socket })
  t.after(() => {
    provider.destroy()
    doc.destroy()
  })
  return Object.assign(provider, { text: doc.getText('text'), map: doc.getMap('map'), array: doc.getArray('array') })
}
