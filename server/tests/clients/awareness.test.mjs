import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import path from 'node:path'
import test from 'node:test'
import { connect, PROVIDERS, synced } from './clients.mjs'
import { Server, until } from './harness.mjs'

for (const [version, Provider] of Object.entries(PROVIDERS)) {
  test(`${version}: awareness appears, changes and disappears on close`, async t => {
    const server = await Server.start(t)
    const [a, b] = [connect(t, Provider, server, 'cursors'), connect(t, Provider, server, 'cursors')]
    await synced(a, b)
    a.awareness.setLocalStateField('cursor', 1)
    await until('it appears', () => stateOf(b, a)?.cursor === 1)
    a.awareness.setLocalState({ cursor: 2, user: 'ü' })
    await until('it changes', () => stateOf(b, a)?.cursor === 2)
    const late = connect(t, Provider, server, 'cursors')
    await until('who comes later sees it', () => stateOf(late, a)?.user === 'ü')
    late.awareness.setLocalState({ user: 'late' })
    await until('and is seen', () => stateOf(b, late)?.user === 'late')
    a.disconnect()
    await until('it disappears', () => !stateOf(b, a) && !stateOf(late, a), 5)
    assert.ok(stateOf(b, late), 'the others are still there')
  })

  test(`${version}: awareness disappears when its process is killed`, async t => {
    const server = await Server.start(t)
    const b = connect(t, Provider, server, 'crash')
    await synced(b)
    const child = spawn(process.execPath, [path.join(import.meta.dirname, 'awareness-of-a-child.mjs'), version, server.url, 'crash'])
    t.after(() => child.kill('SIGKILL'))
    const names = () => [...b.awareness.getStates().values()].map(({ name }) => name)
    await until('it appears', () => names().includes('child'))
    child.kill('SIGKILL')
    await until('it disappears', () => !names().includes('child'), 5)
  })

  test(`${version}: awareness is back at once when its client is`, async t => {
    const server = await Server.start(t)
    const [a, b] = [connect(t, Provider, server, 'back'), connect(t, Provider, server, 'back')]
    await synced(a, b)
    a.awareness.setLocalState({ name: 'a' })
    b.awareness.setLocalState({ name: 'b' })
    await until('both appear', () => stateOf(b, a)?.name === 'a' && stateOf(a, b)?.name === 'b')
    // A provider is back a tenth of a second after its connection is lost, too soon for a busy machine to see that it was gone.
    const lose = () => {
      a.shouldConnect = false
      a.ws.terminate()
    }
    for (const leave of [() => a.disconnect(), lose]) {
      leave()
      await until('it disappears', () => !stateOf(b, a), 5)
      a.connect()
      await synced(a)
      // Clients renew their awareness every 15 s; that must not be what brings it back.
      await until('it is back', () => stateOf(b, a)?.name === 'a', 5)
    }
  })
}

/** What one sees of the other. */
function stateOf (viewer, seen) {
  return viewer.awareness.getStates().get(seen.doc.clientID)
}
