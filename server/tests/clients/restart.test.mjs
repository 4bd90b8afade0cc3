import assert from 'node:assert/strict'
import test from 'node:test'
import * as Y from 'yjs'
import { Bare, connect, converged, PROVIDERS, synced, update } from './clients.mjs'
import { Server, until } from './harness.mjs'

for (const [version, Provider] of Object.entries(PROVIDERS)) {
  test(`${version}: the server is killed and started again while people type`, async t => {
    const server = await Server.start(t)
    const [a, b] = [connect(t, Provider, server, 'killed'), connect(t, Provider, server, 'killed')]
    await synced(a, b)
    const typing = type(t, a, b)
    for (let round = 0; round < 3; round++) {
      const typed = a.text.length
      await until('some more is typed', () => b.text.length > typed + 20)
      await server.kill()
      await until('both noticed', () => !a.wsconnected && !b.wsconnected)
      await server.start()
      await until('both are back', () => a.synced && b.synced)
    }
    typing.stop()
    await converged(a, b)
    const late = connect(t, Provider, server, 'killed')
    await converged(a, b, late)
    assert.equal(late.text.length, typing.count)
  })

  test(`${version}: the server is told to end while people type: 1001, exit 0, and nothing is lost`, async t => {
    const server = await Server.start(t)
    const [a, b] = [connect(t, Provider, server, 'terminated'), connect(t, Provider, server, 'terminated')]
    await synced(a, b)
    const codes = [a, b].map(provider => closeCodes(provider))
    const typing = type(t, a, b)
    await until('some is typed', () => b.text.length > 50)
    assert.deepEqual(await server.terminate(), { code: 0, signal: null })
    await until('both noticed', () => codes.every(seen => seen.length > 0))
    assert.deepEqual(codes.map(seen => seen[0]), [1001, 1001])
    typing.stop()
    await server.start()
    const late = connect(t, Provider, server, 'terminated')
    await converged(a, b, late)
    assert.equal(late.text.length, typing.count)
  })
}

test('told to end while idle: 1001 with a reason, exit 0, and the document is there afterwards', async t => {
  const server = await Server.start(t)
  const writer = await Bare.open(t, server, 'idle')
  const doc = new Y.Doc()
  doc.getText('text').insert(0, 'kept')
  writer.send(update(Y.encodeStateAsUpdate(doc)))
  await writer.acknowledged([1])
  const [exit, close] = await Promise.all([server.terminate(), writer.closed])
  assert.deepEqual(exit, { code: 0, signal: null })
  assert.equal(close.code, 1001)
  assert.notEqual(close.reason, '')
  await server.start()
  const reader = await Bare.open(t, server, 'idle')
  assert.equal((await reader.document()).getText('text').toString(), 'kept')
})

/** Both type a letter every few milliseconds, connected or not, until stopped. */
function type (t, ...providers) {
  const typing = { count: 0, stop: () => clearInterval(timer) }
  const timer = setInterval(() => {
    for (const { text } of providers) text.insert(Math.floor(text.length / 2), 'x')
    typing.count += providers.length
  }, 5)
  t.after(typing.stop)
  return typing
}

function closeCodes (provider) {
  const codes = []
  provider.on('connection-close', event => { if (event !== null) codes.push(event.code) })
  return codes
}
