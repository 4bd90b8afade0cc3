import assert from 'node:assert/strict'
import test from 'node:test'
import { connect, PROVIDERS, synced } from './clients.mjs'
import { Server, until } from './harness.mjs'
import { open, socketOf, VERSIONS } from './hocuspocus.mjs'

// The clients' own watchdog closes after 30 s without a message; pings of WebSockets don't count.
const IDLE_SECONDS = 40

test(`idle providers keep one and the same connection for ${IDLE_SECONDS} s`, async t => {
  const server = await Server.start(t)
  const providers = Object.entries(PROVIDERS).map(([version, Provider]) => {
    const provider = connect(t, Provider, server, `idle with ${version}`) // alone: others' awareness would keep it alive
    provider.awareness.setLocalState(null) // nor its own, which some servers send back
    return provider
  })
  const sockets = Object.entries(VERSIONS).map(([version, hocuspocus]) => {
    const socket = socketOf(t, hocuspocus, server)
    const provider = open(t, hocuspocus, socket, `idle with Hocuspocus ${version}`)
    provider.awareness.setLocalState(null)
    return Object.assign(socket, { provider })
  })
  const opened = providers.map(provider => count(provider, 'status', ({ status }) => status === 'connected'))
  const closed = [
    ...providers.map(provider => count(provider, 'connection-close')),
    ...sockets.map(socket => count(socket, 'close'))
  ]
  await synced(...providers, ...sockets.map(({ provider }) => provider))
  const start = Date.now()
  await until('the time is over', () => {
    assert.ok(closed.every(seen => seen.times === 0))
    return Date.now() - start > IDLE_SECONDS * 1000
  }, IDLE_SECONDS + 10)
  assert.ok(opened.every(seen => seen.times === 1))
  assert.ok(providers.every(provider => provider.wsconnected))
  assert.ok(sockets.every(socket => socket.status === 'connected'))
})

function count (provider, event, counts = () => true) {
  const seen = { times: 0 }
  provider.on(event, argument => { if (counts(argument)) seen.times++ })
  return seen
}
