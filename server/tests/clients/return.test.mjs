// People who come back: whom they see, who sees them, and how soon. Clients renew their awareness every 15 s, and a dead
// connection is found after half a minute: all that is to be quicker is given 5 s here, and says how long it took.

import assert from 'node:assert/strict'
import { performance } from 'node:perf_hooks'
import test from 'node:test'
import * as encoding from 'lib0/encoding'
import { Bare, connect, message, MESSAGE, PROVIDERS, synced } from './clients.mjs'
import { Server, until } from './harness.mjs'
import { Proxy } from './proxy.mjs'

const CROWD = 20

for (const [version, Provider] of Object.entries(PROVIDERS)) {
  test(`${version}: a cursor moves on at once when its client is back while its old connection is taken for alive`, async t => {
    const server = await Server.start(t)
    const proxy = await Proxy.start(t, server)
    const [a, b] = [connect(t, Provider, server, 'cut'), connect(t, Provider, proxy, 'cut')]
    await synced(a, b)
    b.awareness.setLocalState({ cursor: 1 })
    await until('its cursor is seen', () => stateOf(a, b)?.cursor === 1)
    proxy.cut()
    b.ws.terminate()
    b.awareness.setLocalState({ cursor: 2 })
    await until('it notices', () => !b.synced)
    const removals = removalsOf(a, b)
    await synced(b)
    await within(t, 'its cursor moves on', () => stateOf(a, b)?.cursor === 2)
    assert.equal(await connections(server), 3, 'the old connection is still there')
    b.awareness.setLocalState({ cursor: 3 })
    await until('and on', () => stateOf(a, b)?.cursor === 3)
    proxy.drop()
    await until('the old connection ends', async () => await connections(server) <= 2)
    await synced(b)
    b.awareness.setLocalState({ cursor: 4 })
    await until('and it moves on', () => stateOf(a, b)?.cursor === 4, 5)
    assert.ok(removals.length <= 1, 'it was gone at most when its second connection was, too')
  })

  test(`${version}: the end of the old connection does not remove who is back`, async t => {
    const server = await Server.start(t, '--ping-interval', '2s')
    const proxy = await Proxy.start(t, server)
    const [a, b] = [connect(t, Provider, server, 'end'), connect(t, Provider, proxy, 'end')]
    await synced(a, b)
    b.awareness.setLocalState({ cursor: 1 })
    await until('its cursor is seen', () => stateOf(a, b)?.cursor === 1)
    const removals = removalsOf(a, b)
    proxy.cut()
    b.ws.terminate()
    b.awareness.setLocalState({ cursor: 2 })
    await until('it is back', () => stateOf(a, b)?.cursor === 2, 5)
    await until('the old connection is given up', async () => await connections(server) === 2)
    b.awareness.setLocalState({ cursor: 3 })
    await until('its cursor moves on', () => stateOf(a, b)?.cursor === 3, 5)
    assert.deepEqual(removals, [])
  })

  test(`${version}: who comes back sees everybody at once`, async t => {
    const server = await Server.start(t)
    const crowd = await gather(t, Provider, server)
    // A provider is back a tenth of a second after its connection is lost, too soon for a busy machine to see that it was gone.
    const lose = one => {
      one.shouldConnect = false
      one.ws.terminate()
    }
    for (const leave of [one => one.disconnect(), lose]) {
      const one = crowd[3]
      leave(one)
      await until('it is gone', () => crowd.every(other => other === one || !stateOf(other, one)))
      one.connect()
      await synced(one)
      await within(t, 'it sees everybody', () => crowd.every(other => stateOf(one, other)))
      await until('and is seen', () => crowd.every(other => stateOf(other, one)), 5)
    }
  })

  test(`${version}: everybody sees everybody at once when the server was started again`, async t => {
    const server = await Server.start(t)
    const crowd = await gather(t, Provider, server)
    await server.kill()
    await until('nobody is seen', () => crowd.every(one => one.awareness.getStates().size === 1))
    await server.start()
    await synced(...crowd)
    await within(t, 'everybody sees everybody', () => seeEachOther(crowd))
  })
}

test('nobody forges or removes the state of a client whose connection is alive', async t => {
  const server = await Server.start(t)
  const [a, b] = [connect(t, PROVIDERS['y-websocket 3.1'], server, 'forged'), connect(t, PROVIDERS['y-websocket 3.1'], server, 'forged')]
  await synced(a, b)
  b.awareness.setLocalState({ name: 'b' })
  await until('it is seen', () => stateOf(a, b)?.name === 'b')
  const seen = new Set()
  a.awareness.on('change', () => seen.add(JSON.stringify(stateOf(a, b))))
  let asked = 0
  b.ws.on('ping', () => asked++)
  const forger = await Bare.open(t, server, 'forged')
  const start = performance.now()
  // Whether a second of silence is held against the owner shows only after that.
  for (let clock = 100; performance.now() - start < 2_500; clock += 2) {
    forger.send(state(b.doc.clientID, clock, { name: 'forged' }))
    forger.send(state(b.doc.clientID, clock + 1, null))
    await forger.acknowledged([1])
    await until('some time has passed', () => performance.now() - start > clock - 80)
  }
  assert.ok(asked > 0 && asked < 3, `its owner was asked for a sign of life ${asked} times`)
  await forger.close()
  b.awareness.setLocalState({ name: 'still b' })
  await until('only its owner changes it', () => stateOf(a, b)?.name === 'still b')
  assert.deepEqual([...seen].filter(state => !['{"name":"b"}', '{"name":"still b"}'].includes(state)), [])
})

/** So many people who see each other. */
async function gather (t, Provider, server) {
  const crowd = Array.from({ length: CROWD }, () => connect(t, Provider, server, 'crowd'))
  await synced(...crowd)
  crowd.forEach((one, n) => one.awareness.setLocalState({ name: `${n}` }))
  await until('they see each other', () => seeEachOther(crowd))
  return crowd
}

function seeEachOther (crowd) {
  return crowd.every(one => crowd.every(other => stateOf(one, other)?.name !== undefined))
}

/** What one sees of the other. */
function stateOf (viewer, seen) {
  return viewer.awareness.getStates().get(seen.doc.clientID)
}

/** The moments at which one stops to see the other. */
function removalsOf (viewer, seen) {
  const removals = []
  viewer.awareness.on('change', ({ removed }) => {
    if (removed.includes(seen.doc.clientID)) removals.push(performance.now())
  })
  return removals
}

async function within (t, what, condition) {
  const start = performance.now()
  await until(what, condition, 5)
  t.diagnostic(`${what} after ${Math.round(performance.now() - start)} ms`)
}

async function connections (server) {
  const metrics = await (await fetch(`${server.http}/metrics`)).text()
  return Number(metrics.match(/^coscribe_connections (\d+)/m)[1])
}

/** A frame with one awareness state. */
function state (client, clock, json) {
  return message(MESSAGE.awareness, encoding.encode(encoder => {
    encoding.writeVarUint(encoder, 1)
    encoding.writeVarUint(encoder, client)
    encoding.writeVarUint(encoder, clock)
    encoding.writeVarString(encoder, JSON.stringify(json))
  }))
}
