import assert from 'node:assert/strict'
import test from 'node:test'
import { certificate } from './certificate.mjs'
import { connect, converged, PROVIDERS, synced, Y } from './clients.mjs'
import { Server, until } from './harness.mjs'
import { open, socketOf, VERSIONS } from './hocuspocus.mjs'

for (const [version, Provider] of Object.entries(PROVIDERS)) {
  test(`${version} over wss://: people type, one has a large document, and the server ends with 1001`, async t => {
    const { flags, WebSocket } = certificate(t)
    const server = await Server.start(t, ...flags)
    const options = { WebSocketPolyfill: WebSocket }
    const large = new Y.Doc()
    large.getText('text').insert(0, Array.from({ length: 500_000 }, (_, n) => `${n},`).join(''))
    const a = connect(t, Provider, server, 'encrypted', large, options)
    const b = connect(t, Provider, server, 'encrypted', new Y.Doc(), options)
    await synced(a, b)
    for (let n = 0; n < 50; n++) [a, b][n % 2].text.insert(n, 'x')
    await converged(a, b)
    assert.ok(b.text.toString().includes('499999,'))
    const codes = []
    a.on('connection-close', event => codes.push(event?.code))
    await server.terminate()
    await until('the close is heard', () => codes.length > 0)
    assert.equal(codes[0], 1001)
  })
}

for (const [number, version] of Object.entries(VERSIONS)) {
  test(`Hocuspocus ${number} over wss://: several documents on one socket are shared and saved`, async t => {
    const { flags, WebSocket } = certificate(t)
    const server = await Server.start(t, ...flags)
    const sockets = [1, 2].map(() => socketOf(t, version, server, { WebSocketPolyfill: WebSocket }))
    for (const name of ['one', 'two']) {
      const [a, b] = sockets.map(socket => open(t, version, socket, name))
      await synced(a, b)
      a.text.insert(0, name)
      await converged(a, b)
      await until('all is saved', () => !a.hasUnsyncedChanges)
    }
  })
}

test('a WebSocket that does not believe the certificate is not opened', async t => {
  const { flags } = certificate(t)
  const server = await Server.start(t, ...flags)
  const provider = connect(t, PROVIDERS['y-websocket 3.1'], server, 'doc')
  let failed = false
  provider.on('connection-error', () => { failed = true })
  await until('the connection has failed', () => failed)
  assert.equal(provider.wsconnected, false)
})
