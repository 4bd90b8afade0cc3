// The configurations of docs/deploy.md, with unmodified providers through them.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import https from 'node:https'
import test from 'node:test'
import { DocumentManager } from '@y-sweet/sdk'
import WebSocket from 'ws'
import { Bare, connect, converged, PROVIDERS, synced, update, Y } from './clients.mjs'
import { Server, until } from './harness.mjs'
import { open, socketOf, VERSIONS } from './hocuspocus.mjs'
import { open as openYSweet } from './y-sweet.mjs'
import { isInstalled, LANGUAGES, OPEN_TO_STRANGERS, PageProxy } from '../proxies/proxies.mjs'

const MIB = 1 << 20
const Y_SWEET_KEY = 'tests-have-a-key-that-everybody-knows'

/** Takes the certificates of these tests. */
class TrustingWebSocket extends WebSocket {
  constructor (url, protocols) {
    super(url, protocols, { rejectUnauthorized: false })
    this.on('error', () => {}) // a provider that is destroyed while it connects does not listen any more
  }
}

const polyfill = { WebSocketPolyfill: TrustingWebSocket }

for (const [language, program] of Object.entries(LANGUAGES)) {
  for (const isBelow of [false, true]) {
    const where = `${program}, ${isBelow ? 'below a path' : 'with a name of its own'}`

    test(`${where}: all kinds of providers share a document, also after a restart of the server`, async t => {
      if (!isInstalled(t, language)) return
      const server = await Server.start(t, ...OPEN_TO_STRANGERS)
      const proxy = await PageProxy.start(t, language, server, { isBelow })
      const providers = Object.values(PROVIDERS).map(Provider => connect(t, Provider, proxy, 'team/notes', new Y.Doc(), polyfill))
      for (const hocuspocus of Object.values(VERSIONS)) {
        providers.push(open(t, hocuspocus, socketOf(t, hocuspocus, proxy, polyfill), 'team/notes'))
      }
      await synced(...providers)
      providers.forEach((provider, index) => provider.text.insert(0, `${index} `))
      await converged(...providers)
      await server.kill()
      providers.forEach((provider, index) => provider.text.insert(0, `offline ${index} `))
      await server.start()
      await converged(...providers)
      const straight = connect(t, PROVIDERS['y-websocket 3.1'], server, 'team/notes')
      await converged(straight, ...providers)
      assert.equal(straight.text.toString().match(/\d/g).length, 2 * providers.length)
    })

    test(`${where}: a document of 20 MB passes in both directions`, async t => {
      if (!isInstalled(t, language)) return
      const server = await Server.start(t, ...OPEN_TO_STRANGERS)
      const proxy = await PageProxy.start(t, language, server, { isBelow })
      const writer = connect(t, PROVIDERS['y-websocket 3.1'], proxy, 'large', new Y.Doc(), polyfill)
      writer.doc.transact(() => {
        for (let part = 0; part < 20; part++) writer.array.push([new Uint8Array(randomBytes(MIB))])
      })
      const reader = open(t, VERSIONS[4], socketOf(t, VERSIONS[4], proxy, polyfill), 'large')
      await until('the reader has all of it', () => reader.array.length === 20, 60)
      assert.ok(reader.array.toArray().every((part, index) => Buffer.compare(part, writer.array.get(index)) === 0))
    })

    test(`${where}: names of documents arrive as they are`, async t => {
      if (!isInstalled(t, language)) return
      const server = await Server.start(t, ...OPEN_TO_STRANGERS)
      const proxy = await PageProxy.start(t, language, server, { isBelow })
      const names = ['plain', 'team/notes', 'one%2Ftwo%2Fthree', 'caf%C3%A9%20%26%20bar', '50%25', 'a//b', 'x/', '%3Fq%23h', 'semi;colon', 'asked?q=1']
      for (const [index, name] of names.entries()) {
        const doc = new Y.Doc()
        doc.getText('text').insert(0, `of ${index}`)
        const straight = await Bare.open(t, server, name)
        straight.send(update(Y.encodeStateAsUpdate(doc)))
        await straight.acknowledged([index])
        const through = await bare(t, proxy, name)
        assert.equal((await through.document()).getText('text').toString(), `of ${index}`, name)
      }
    })

    test(`${where}: strangers get no metrics, and all others may ask for readiness`, async t => {
      if (!isInstalled(t, language)) return
      const server = await Server.start(t, ...OPEN_TO_STRANGERS)
      const proxy = await PageProxy.start(t, language, server, { isBelow })
      assert.equal(await status(proxy, '/readyz'), 200)
      for (const path of ['/metrics', '/%6Detrics', '/./metrics', '//metrics', '/metrics?x', '/x/../metrics', '/metrics/']) {
        assert.equal(await status(proxy, path), 404, path)
      }
    })

    test(`${where}: connections are counted by the address of the client, whatever it says itself`, async t => {
      if (!isInstalled(t, language)) return
      const flags = ['--trusted-proxies', '127.0.0.1', '--max-connections-per-address', '1']
      const server = await Server.start(t, ...flags, ...OPEN_TO_STRANGERS)
      const proxy = await PageProxy.start(t, language, server, { isBelow })
      const from = (localAddress, forged) => handshake(t, proxy, { localAddress, headers: { 'X-Forwarded-For': forged } })
      assert.equal(await from('127.0.0.2', '198.51.100.1'), 101)
      assert.equal(await from('127.0.0.2', '198.51.100.2'), 429)
      assert.equal(await from('127.0.0.3', '198.51.100.1'), 101)
    })
  }

  test(`${program}: a quiet connection is not silent for longer than the proxy allows, because of its keep-alive`, async t => {
    if (!isInstalled(t, language)) return
    const impatient = program === 'nginx' ? { changes: [['proxy_read_timeout 60s', 'proxy_read_timeout 2s']] } : {}
    const quiet = ['--ping-interval', '1h', ...OPEN_TO_STRANGERS]
    const server = await Server.start(t, '--keep-alive', '500ms', ...quiet)
    const kept = await bare(t, await PageProxy.start(t, language, server, impatient), 'idle')
    if (program === 'nginx') {
      const silent = await Server.start(t, '--keep-alive', '1h', ...quiet)
      const lost = await bare(t, await PageProxy.start(t, language, silent, impatient), 'idle')
      assert.equal((await lost.closed).code, 1006, 'nginx ends a silent connection')
    }
    await until('many keep-alives have come', () => kept.frames.length > 8)
    assert.ok(kept.isOpen)
  })
}

for (const [language, program] of Object.entries(LANGUAGES)) {
  test(`${program}: y-sweet’s SDK sends 20 MB, and its client connects to the address that the token has`, async t => {
    if (!isInstalled(t, language)) return
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0' // the SDK takes no certificate otherwise
    t.after(() => { delete process.env.NODE_TLS_REJECT_UNAUTHORIZED })
    const server = await Server.start(t, '--y-sweet-key', Y_SWEET_KEY, ...OPEN_TO_STRANGERS)
    const proxy = await PageProxy.start(t, language, server)
    const manager = new DocumentManager(`yss://${Y_SWEET_KEY}@localhost:${proxy.port}/y-sweet`)
    const doc = new Y.Doc()
    doc.getArray('array').push(Array.from({ length: 20 }, () => new Uint8Array(randomBytes(MIB))))
    await manager.createDoc('large')
    await manager.updateDoc('large', Y.encodeStateAsUpdate(doc))
    const token = await manager.getClientToken('large')
    assert.equal(new URL(token.url).host, `localhost:${proxy.port}`)
    assert.equal(new URL(token.url).protocol, 'wss:')
    const reader = openYSweet(t, 'large', () => token, polyfill)
    await until('the reader has all of it', () => reader.array.length === 20, 60)
  })
}

async function bare (t, proxy, name) {
  const client = new Bare(`${proxy.url}/${name}`, { rejectUnauthorized: false })
  t.after(() => client.socket.terminate())
  return await client.opened()
}

/** The status that a handshake is answered with. */
function handshake (t, proxy, options) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${proxy.url}/counted`, { rejectUnauthorized: false, ...options })
    t.after(() => socket.terminate())
    socket.on('open', () => resolve(101))
    socket.on('unexpected-response', (_request, { statusCode }) => resolve(statusCode))
    socket.on('error', reject)
  })
}

/** The status of a GET, with the path as it stands here. */
function status (proxy, path) {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', servername: 'localhost', port: proxy.port, path: proxy.path + path, rejectUnauthorized: false }
    const headers = { Host: `localhost:${proxy.port}` }
    https.get({ ...options, headers }, response => resolve(response.resume().statusCode)).on('error', reject)
  })
}
