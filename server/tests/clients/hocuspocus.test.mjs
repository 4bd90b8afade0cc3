import assert from 'node:assert/strict'
import test from 'node:test'
import WebSocket from 'ws'
import * as Hocuspocus2 from 'hocuspocus-provider-2'
import * as Hocuspocus3 from 'hocuspocus-provider-3'
import * as Hocuspocus4 from 'hocuspocus-provider-4'
import { Bare, connect, converged, PROVIDERS, synced, Y } from './clients.mjs'
import { Server, until } from './harness.mjs'

const VERSIONS = { 2: Hocuspocus2, 3: Hocuspocus3, 4: Hocuspocus4 }

/** A socket as an application makes it for many documents; gone after the test. */
function socketOf (t, { HocuspocusProviderWebsocket }, server, options = {}) {
  const socket = new HocuspocusProviderWebsocket({ url: server.url, WebSocketPolyfill: WebSocket, ...options })
  t.after(() => socket.destroy())
  return socket
}

/** A provider of a document on such a socket, with what happens to it at hand. */
function open (t, version, socket, name, options = {}) {
  const doc = options.document ?? new Y.Doc()
  const happened = { closed: [], denied: [], unsynced: [], scopes: [], texts: [] }
  const provider = new version.HocuspocusProvider({
    websocketProvider: socket,
    name,
    document: doc,
    token: 'secret',
    preserveConnection: true,
    onClose: ({ event }) => happened.closed.push(event),
    onAuthenticationFailed: ({ reason }) => happened.denied.push(reason),
    onAuthenticated: event => happened.scopes.push(event?.scope), // version 2 does not say
    onStateless: ({ payload }) => happened.texts.push(payload),
    ...options
  })
  provider.attach?.()
  t.after(() => {
    provider.destroy()
    doc.destroy()
  })
  return Object.assign(provider, { doc, happened, text: doc.getText('text'), map: doc.getMap('map'), array: doc.getArray('array') })
}

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
}
