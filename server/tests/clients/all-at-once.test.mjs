// One document with all kinds of providers in it, at the same time.

import assert from 'node:assert/strict'
import test from 'node:test'
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import WebSocket from 'ws'
import { DocumentManager } from '@y-sweet/sdk'
import { Bare, connect, converged, MESSAGE, PROVIDERS, synced, Y } from './clients.mjs'
import { Server, until } from './harness.mjs'
import { open, socketOf, VERSIONS } from './hocuspocus.mjs'
import { open as openOnYSweet } from './y-sweet.mjs'

/** Somebody with y-websocket, whose application asks by message 102 whether all is saved. */
class OnYWebsocket {
  #asked = 0
  #answered = 0

  constructor (t, Provider, server, name) {
    this.provider = connect(t, Provider, server, name)
    this.provider.messageHandlers[MESSAGE.acknowledge] = (_encoder, decoder) => {
      this.#answered = decoding.readVarUint(decoding.createDecoder(decoding.readVarUint8Array(decoder)))
    }
  }

  get isOpen () { return this.provider.wsconnected }
  get isSaved () { return this.#answered === this.#asked }

  /** After a write: from now on `isSaved` is about that. */
  askWhetherSaved () {
    this.#asked++
    this.provider.ws.send(encoding.encode(encoder => {
      encoding.writeVarUint(encoder, MESSAGE.acknowledge)
      encoding.writeVarUint8Array(encoder, encoding.encode(inner => encoding.writeVarUint(inner, this.#asked)))
    }))
  }

  connect () { this.provider.connect() }
  disconnect () { this.provider.disconnect() }

  /** As a network that is gone: nobody says goodbye, and nobody comes back by himself. */
  breakOff () {
    this.provider.shouldConnect = false
    this.provider.ws.terminate()
  }
}

/** Somebody with Hocuspocus' provider, which knows by itself whether all is saved. */
class OnHocuspocus {
  constructor (t, version, server, name) {
    this.socket = socketOf(t, version, server)
    this.provider = open(t, version, this.socket, name)
  }

  get isOpen () { return this.socket.status === 'connected' }
  get isSaved () { return !this.provider.hasUnsyncedChanges }
  askWhetherSaved () {}
  connect () { this.socket.connect() }
  disconnect () { this.socket.disconnect() }

  breakOff () {
    this.socket.shouldConnect = false
    this.socket.webSocket.terminate()
  }
}

/** Somebody with y-sweet's client, which asks by itself whether all is saved, and comes back whatever it is told: only its
 * network keeps it away. */
class OnYSweet {
  #isOffline = false
  #socket = null

  constructor (t, server, name) {
    const manager = new DocumentManager(`ys://127.0.0.1:${server.port}/y-sweet`)
    const [isOffline, opened] = [() => this.#isOffline, socket => { this.#socket = socket }]
    class Network extends WebSocket {
      constructor (url, protocols) {
        super(isOffline() ? 'ws://127.0.0.1:9' : url, protocols)
        opened(this)
      }
    }
    this.provider = openOnYSweet(t, name, () => manager.getOrCreateDocAndToken(name), { WebSocketPolyfill: Network })
  }

  get isOpen () { return this.#socket.readyState === WebSocket.OPEN }
  get isSaved () { return !this.provider.hasLocalChanges }
  askWhetherSaved () {}
  connect () { this.#isOffline = false }

  disconnect () {
    this.#isOffline = true
    this.#socket.close()
  }

  breakOff () {
    this.#isOffline = true
    this.#socket.terminate()
  }
}

/** One person for each kind of provider, all in the document `name`, and synced. */
async function everybody (t, server, name) {
  const people = [
    ...Object.entries(PROVIDERS).map(([kind, Provider]) => Object.assign(new OnYWebsocket(t, Provider, server, name), { kind })),
    ...Object.entries(VERSIONS).map(([number, version]) => Object.assign(new OnHocuspocus(t, version, server, name), { kind: `hocuspocus ${number}` })),
    Object.assign(new OnYSweet(t, server, name), { kind: 'y-sweet' })
  ]
  await synced(...providersOf(people))
  return people
}

const providersOf = people => people.map(({ provider }) => provider)
const away = people => until('all are away', () => people.every(person => !person.isOpen))
const back = people => until('all are back', () => people.every(({ provider }) => provider.synced), 90)

/** Each writes a mark of its own into the middle of the text, the map and the list, and wants to know whether it is saved. */
function write (people, round) {
  return people.map(person => {
    const { provider: { doc, text, map, array }, kind } = person
    const mark = `<${kind}, ${round}>`
    doc.transact(() => {
      text.insert(Math.floor(text.length / 2), mark, round % 2 === 0 ? { bold: true } : {})
      map.set(kind, round)
      map.set('shared', mark)
      array.insert(Math.floor(array.length / 2), [mark])
    })
    if (person.isOpen) person.askWhetherSaved()
    return mark
  })
}

/** Waits until all see exactly these people, each with the name that its kind has. */
async function seen (people) {
  const expected = JSON.stringify(people.map(({ kind }) => kind).sort())
  const names = ({ provider }) => JSON.stringify([...provider.awareness.getStates().values()].map(state => state.user?.name).sort())
  await until(`all see ${expected}`, () => people.every(person => names(person) === expected))
}

const introduce = people => people.forEach(({ provider, kind }) => provider.awareness.setLocalStateField('user', { name: kind }))

test('text, maps and lists of all kinds of providers converge, also those written offline', async t => {
  const server = await Server.start(t)
  const people = await everybody(t, server, 'all')
  const marks = write(people, 0)
  await converged(...providersOf(people))
  for (let round = 1; round <= 3; round++) {
    const offline = people.filter((_, at) => at % 3 === round % 3)
    offline.forEach(person => person.disconnect())
    await away(offline)
    marks.push(...write(people, round))
    people[round].provider.text.delete(0, 1)
    offline.forEach(person => person.connect())
    await back(offline)
    await converged(...providersOf(people))
  }
  assert.deepEqual(people[0].provider.array.toJSON().sort(), marks.sort())
  assert.equal(people[0].provider.text.length, marks.join('').length - 3)
})

test('each sees the presence of all, it goes with its connection, and nobody is left as a ghost', async t => {
  const server = await Server.start(t)
  const people = await everybody(t, server, 'people')
  introduce(people)
  await seen(people)
  for (const leave of ['breakOff', 'disconnect']) {
    for (let at = 1; at < people.length; at++) {
      people[at - 1][leave]()
      await seen(people.slice(at))
    }
    const gone = people.slice(0, -1)
    await away(gone)
    gone.forEach(person => person.connect())
    await back(people)
    await seen(people)
  }
})

test('a restart of the server under all of them loses nothing, and all see each other again', async t => {
  const server = await Server.start(t)
  const people = await everybody(t, server, 'restarted')
  introduce(people)
  await seen(people)
  const marks = []
  for (const end of ['terminate', 'kill']) {
    marks.push(...write(people, marks.length))
    await server[end]()
    await away(people)
    marks.push(...write(people, marks.length))
    await server.start()
    await back(people)
    await converged(...providersOf(people))
    await seen(people)
  }
  assert.deepEqual(people[0].provider.array.toJSON().sort(), marks.sort())
})

test('what one of them takes for saved is there after a SIGKILL while all wait for it', async t => {
  const server = await Server.start(t, '--commit-window', '100ms')
  const people = await everybody(t, server, 'saved')
  const all = []
  for (const [round, enough] of [0, 1, people.length, 0, 1].entries()) {
    people.forEach(person => person.askWhetherSaved())
    await until('nothing is to be saved', () => people.every(person => person.isSaved))
    const marks = write(people, round)
    all.push(...marks)
    assert.ok(people.every(person => !person.isSaved), 'all wait')
    const saved = () => people.map((person, at) => person.isSaved ? marks[at] : null).filter(mark => mark !== null)
    // Somebody shows what another has written: so the server has it.
    await until(`${enough} are told that it is saved`, () => saved().length >= enough && people[0].provider.text.toString().includes(marks.at(-1)))
    const promised = saved()
    await server.kill()
    people.forEach(person => person.disconnect())
    await away(people)

    await server.start()
    const reader = await Bare.open(t, server, 'saved')
    const stored = (await reader.document()).getText('text').toString()
    for (const mark of promised) assert.ok(stored.includes(mark), `${mark} is there`)
    await reader.close()
    people.forEach(person => person.connect())
    await back(people)
    await converged(...providersOf(people))
  }
  assert.deepEqual(people[0].provider.array.toJSON().sort(), all.sort())
})
