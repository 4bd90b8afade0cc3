import assert from 'node:assert/strict'
import test from 'node:test'
import { Bare, connect, converged, PROVIDERS, synced, Y } from './clients.mjs'
import { Server, until } from './harness.mjs'
import { open, socketOf, VERSIONS } from './hocuspocus.mjs'
import { Proxy } from './proxy.mjs'

for (const [number, version] of Object.entries(VERSIONS)) {
  test(`provider ${number}: two people write the same document, and are saved`, async t => {
    const server = await Server.start(t)
    const [one, two] = [1, 2].map(() => open(t, version, socketOf(t, version, server), 'shared'))
    await synced(one, two)
    one.text.insert(0, 'one')
    two.text.insert(0, 'two')
    await converged(one, two)
    await until('both are saved', () => !one.hasUnsyncedChanges && !two.hasUnsyncedChanges)
    await server.kill()
    await server.start()
    const reader = await Bare.open(t, server, 'shared')
    assert.equal((await reader.document()).getText('text').toString(), one.text.toString())
    await synced(one, two)
    if (number !== '2') assert.equal(one.happened.scopes[0], 'read-write')
  })

  test(`provider ${number}: many documents on one socket, each by itself`, async t => {
    const server = await Server.start(t)
    const socket = socketOf(t, version, server)
    const documents = Array.from({ length: 30 }, (_, at) => open(t, version, socket, `notes/${at}`))
    await synced(...documents)
    documents.forEach((document, at) => document.text.insert(0, `this is ${at}`))
    await until('all are saved', () => documents.every(document => !document.hasUnsyncedChanges))
    documents[3].destroy()
    documents[4].text.insert(0, 'still here: ')
    const others = socketOf(t, version, server)
    const copies = [3, 4].map(at => open(t, version, others, `notes/${at}`))
    await synced(...copies)
    await until('the other sees it', () => copies[1].text.toString() === 'still here: this is 4')
    assert.equal(copies[0].text.toString(), 'this is 3')
  })

  test(`provider ${number}: a document whose provider is destroyed is closed, while its socket stays`, async t => {
    const server = await Server.start(t, '--grace', '0s')
    const socket = socketOf(t, version, server)
    const stays = open(t, version, socket, 'stays')
    for (let at = 0; at < 5; at++) {
      const goes = open(t, version, socket, `goes/${at}`)
      await synced(goes)
      goes.awareness.setLocalStateField('user', { name: 'One' })
      goes.destroy()
    }
    await synced(stays)
    const rooms = async () => Number((await (await fetch(`${server.http}/metrics`)).text()).match(/^coscribe_rooms (\d+)/m)[1])
    await until('one room is left', async () => await rooms() === 1)
    stays.text.insert(0, 'x')
    await until('it is served', () => !stays.hasUnsyncedChanges)
    assert.equal(await rooms(), 1)
  })

  test(`provider ${number}: a name that cannot be is denied, and the others go on`, async t => {
    const server = await Server.start(t)
    const socket = socketOf(t, version, server)
    const sound = open(t, version, socket, 'sound')
    const long = open(t, version, socket, 'x'.repeat(1100))
    await until('it is denied', () => long.happened.denied.length > 0)
    assert.match(long.happened.denied[0], /1024 bytes/)
    await synced(sound)
    sound.text.insert(0, 'x')
    await until('the other one is saved', () => !sound.hasUnsyncedChanges)
    assert.equal(long.happened.denied.length, 1)
  })

  test(`provider ${number}: presence is seen by all clients, and goes with its document`, async t => {
    const server = await Server.start(t)
    const one = open(t, version, socketOf(t, version, server), 'people')
    const two = connect(t, PROVIDERS['y-websocket 3.1'], server, 'people')
    await synced(one, two)
    one.awareness.setLocalStateField('user', { name: 'One' })
    two.awareness.setLocalStateField('user', { name: 'Two' })
    const sees = (provider, name) => [...provider.awareness.getStates().values()].some(state => state.user?.name === name)
    await until('each sees the other', () => sees(one, 'Two') && sees(two, 'One'))
    one.destroy()
    await until('one is gone', () => !sees(two, 'One'))
  })

  test(`provider ${number}: what was written while the server was away is saved when it is back`, async t => {
    const server = await Server.start(t)
    const one = open(t, version, socketOf(t, version, server), 'offline')
    await synced(one)
    await server.kill()
    await until('it has noticed', () => !one.synced)
    one.text.insert(0, 'offline')
    await server.start()
    await until('it is saved', () => one.synced && !one.hasUnsyncedChanges, 60)
    const reader = await Bare.open(t, server, 'offline')
    assert.equal((await reader.document()).getText('text').toString(), 'offline')
  })

  test(`provider ${number}: who comes back sees who is here, long before they renew themselves`, async t => {
    const server = await Server.start(t)
    const socket = socketOf(t, version, server)
    const one = open(t, version, socketOf(t, version, server), 'back')
    const two = open(t, version, socket, 'back')
    await synced(one, two)
    one.awareness.setLocalStateField('user', { name: 'One' })
    two.awareness.setLocalStateField('user', { name: 'Two' })
    const sees = (provider, name) => [...provider.awareness.getStates().values()].some(state => state.user?.name === name)
    await until('each sees the other', () => sees(one, 'Two') && sees(two, 'One'))
    socket.disconnect()
    await until('two is gone, for both', () => !sees(one, 'Two') && !sees(two, 'One'))
    socket.connect()
    await until('each sees the other again', () => sees(one, 'Two') && sees(two, 'One'), 8)
  })

  test(`provider ${number}: it is unsynced until the disk has it, and what it takes for saved is there after a kill`, async t => {
    const server = await Server.start(t, '--commit-window', '2s')
    const one = open(t, version, socketOf(t, version, server), 'slow disk')
    const two = open(t, version, socketOf(t, version, server), 'slow disk')
    await synced(one, two)
    await until('nothing is to be saved', () => !one.hasUnsyncedChanges)
    one.text.insert(0, 'held back')
    await until('the other has it', () => two.text.toString() === 'held back')
    assert.ok(one.hasUnsyncedChanges, 'the disk does not')
    await until('it says that it is saved', () => !one.hasUnsyncedChanges)
    await server.kill()
    await server.start()
    const reader = await Bare.open(t, server, 'slow disk')
    assert.equal((await reader.document()).getText('text').toString(), 'held back')
  })

  test(`provider ${number}: what waits for a missing update is not counted twice, nor called saved too early`, async t => {
    const server = await Server.start(t)
    const one = open(t, version, socketOf(t, version, server), 'gap')
    await synced(one)
    await until('nothing is to be saved', () => !one.hasUnsyncedChanges)
    const send = one.send
    one.send = () => {}
    one.text.insert(0, 'lost ')
    one.send = send
    one.text.insert(5, 'and found')
    await until('it is asked for, brought and saved', () => one.unsyncedChanges === 1)
    const reader = await Bare.open(t, server, 'gap')
    assert.equal((await reader.document()).getText('text').toString(), 'lost and found')
  })
}

for (const [number, version] of Object.entries(VERSIONS)) {
  test(`provider ${number}: people in one document through sessions of one socket see each other's text`, async t => {
    const server = await Server.start(t)
    const one = open(t, version, socketOf(t, version, server), 'session')
    const two = open(t, version, socketOf(t, version, server), 'session', { sessionAwareness: true })
    await synced(one, two)
    one.text.insert(0, 'x')
    await until('the other has it', () => two.text.toString() === 'x')
    one.sendStateless('hello')
    await until('and hears a text', () => two.happened.texts.includes('hello'))
  })
}

test('a small document does not wait for a large one on the same slow socket', async t => {
  const server = await Server.start(t)
  const writer = socketOf(t, VERSIONS[4], server)
  const [large, small] = ['large', 'small'].map(name => open(t, VERSIONS[4], writer, name))
  await synced(large, small)
  large.doc.transact(() => {
    for (let paragraph = 0; paragraph < 400; paragraph++) large.array.push([new Y.Text(noise(5000))])
  })
  small.text.insert(0, 'small')
  await until('both are saved', () => !large.hasUnsyncedChanges && !small.hasUnsyncedChanges)
  const link = await Proxy.start(t, server, 250_000)
  const socket = socketOf(t, VERSIONS[4], link)
  const slow = open(t, VERSIONS[4], socket, 'large')
  await until('the large one is on its way', () => slow.doc.store.pendingStructs !== null)
  const quick = open(t, VERSIONS[4], socket, 'small')
  await until('the small one is there', () => quick.synced && quick.text.toString() === 'small')
  assert.ok(!slow.synced, 'before the large one')
  await until('the large one is there', () => slow.synced && slow.array.length === 400, 60)
})

/** Text that compression does not make much shorter. */
function noise (length) {
  let text = ''
  while (text.length < length) text += Math.random().toString(36).slice(2)
  return text.slice(0, length)
}
