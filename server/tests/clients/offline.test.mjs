import assert from 'node:assert/strict'
import test from 'node:test'
import { connect, converged, PROVIDERS, synced } from './clients.mjs'
import { Server, until } from './harness.mjs'

for (const [version, Provider] of Object.entries(PROVIDERS)) {
  test(`${version}: what one wrote offline arrives when it comes back`, async t => {
    const server = await Server.start(t)
    const [a, b] = [connect(t, Provider, server, 'offline'), connect(t, Provider, server, 'offline')]
    await synced(a, b)
    a.text.insert(0, 'base')
    await converged(a, b)
    await disconnect(a)
    a.text.insert(4, ' offline')
    b.text.insert(0, 'online ')
    b.text.delete(7, 2)
    a.connect()
    await converged(a, b)
    assert.equal(b.text.toString(), 'online se offline')
  })

  test(`${version}: what both wrote offline arrives, in either order of coming back`, async t => {
    const server = await Server.start(t)
    const [a, b] = [connect(t, Provider, server, 'both'), connect(t, Provider, server, 'both')]
    await synced(a, b)
    a.map.set('base', true)
    await converged(a, b)
    for (const [first, second] of [[a, b], [b, a]]) {
      await disconnect(a, b)
      a.text.insert(0, 'A')
      b.text.insert(0, 'B')
      b.array.push(['from b'])
      first.connect()
      await synced(first)
      second.connect()
      await converged(a, b)
    }
    assert.deepEqual([...a.text.toString()].sort(), ['A', 'A', 'B', 'B'])
    assert.equal(a.array.length, 2)
  })

  test(`${version}: what was written before the first connection arrives`, async t => {
    const server = await Server.start(t)
    const a = connect(t, Provider, server, 'before')
    a.text.insert(0, 'already here')
    const b = connect(t, Provider, server, 'before')
    await synced(a, b)
    await converged(a, b)
    assert.equal(b.text.toString(), 'already here')
  })
}

async function disconnect (...providers) {
  providers.forEach(provider => provider.disconnect())
  await until('the providers are disconnected', () => providers.every(provider => !provider.wsconnected))
}
