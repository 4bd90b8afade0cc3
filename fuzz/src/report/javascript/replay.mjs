// Repeats what happened (MOMENTS) with documents of Yjs. Becomes a part of a script: src/report/javascript.rs.

import { isDeepStrictEqual } from 'node:util'
import * as Y from 'yjs'
import { change, ROOTS } from './edits.mjs'
import { content } from './view.mjs'

/** More orders of clients than this are not tried. */
const MAX_ORDERS = 720
/** As many states of a replica are remembered, to restore it. */
const HISTORY = 8

/** A document, and what it is about to send. */
class Replica {
  constructor (client) {
    this.doc = new Y.Doc()
    this.doc.clientID = client
    this.undo = UNDO ? new Y.UndoManager(Object.values(ROOTS).map(root => root(this.doc)), { captureTimeout: 0, trackedOrigins: new Set(['own']) }) : null
    this.history = []
    this.queue = [] // updates to send, the oldest first
    this.recent = [] // own updates, the newest first
    this.loses = 0
    this.knows = new Uint8Array([0]) // the state vector of the other end
    this.doc.on('update', (update, origin, doc, transaction) => { if (transaction.local) this.write(update) })
  }

  write (update) {
    this.recent.unshift(update)
    if (this.loses > 0) this.loses--
    else this.queue.push(update)
  }

  edit (edit) {
    this.history.push(Y.encodeStateAsUpdate(this.doc))
    this.history.splice(0, this.history.length - HISTORY)
    if (edit === 'undo') this.undo.undo()
    else if (edit === 'redo') this.undo.redo()
    else {
      this.undo?.stopCapturing()
      this.doc.transact(() => change(this.doc, edit.change), 'own')
    }
  }
}

/** The server: a document that never forgets, with what it has not yet sent to each replica. */
class Server {
  constructor () {
    this.doc = new Y.Doc()
    this.unsent = Array.from({ length: REPLICAS + 1 }, () => [])
    this.knows = this.unsent.map(() => new Uint8Array([0]))
    this.doc.on('update', (update, origin) => this.unsent.forEach((unsent, to) => { if (to !== origin) unsent.push(update) }))
  }
}

function replay (clients) {
  clients = [...clients]
  const server = new Server()
  const replicas = Array.from({ length: REPLICAS }, () => new Replica(clients.shift()))
  const messages = new Map()

  const sentByReplica = (replica, { is }) => {
    switch (is) {
      case 'SyncStep1':
        replica.queue = []
        return Y.encodeStateVector(replica.doc)
      case 'SyncStep2': return Y.encodeStateAsUpdate(replica.doc, replica.knows)
      case 'update': return replica.queue.shift() ?? replica.recent[0] ?? new Uint8Array([0, 0])
    }
  }
  const sentByServer = ({ to, is }) => {
    if (is === 'SyncStep1') return Y.encodeStateVector(server.doc)
    const unsent = server.unsent[to].splice(0)
    if (is === 'SyncStep2') return Y.encodeStateAsUpdate(server.doc, server.knows[to])
    return unsent.length > 0 ? Y.mergeUpdates(unsent) : new Uint8Array([0, 0])
  }
  const takeIn = ({ from, to, is, bytes }) => {
    const end = to === 0 ? server : replicas[to - 1]
    if (is !== 'SyncStep1') Y.applyUpdate(end.doc, bytes, from)
    else if (to === 0) server.knows[from] = bytes
    else end.knows = bytes
  }

  for (const moment of MOMENTS) {
    const replica = replicas[moment.document - 1]
    if ('message' in moment) messages.set(moment.message, { ...moment, bytes: moment.from === 0 ? sentByServer(moment) : sentByReplica(replicas[moment.from - 1], moment) })
    else if ('arrives' in moment) takeIn(messages.get(moment.arrives))
    else if ('edit' in moment) replica.edit(moment.edit)
    else if ('loses' in moment) replica.loses = 1
    else if ('repeats' in moment) replica.queue.push(...replica.recent.slice(0, moment.repeats))
    else if ('overtakes' in moment) replica.queue.push(...replicas[moment.overtakes - 1].recent.slice(0, 1))
    else if ('restored' in moment) {
      const former = replica.history[Math.max(0, replica.history.length - moment.restored)]
      if (former === undefined) continue
      const restored = replicas[moment.document - 1] = new Replica(clients.shift())
      Y.applyUpdate(restored.doc, former)
    }
  }
  return [server, ...replicas].map(({ doc }) => doc)
}

/** Everybody gets from everybody what is missing, until nobody writes anything in answer. */
function heal (docs) {
  for (let round = 0; round < 10; round++) {
    let changed = false
    for (const from of docs) {
      for (const to of docs) {
        const before = state(to)
        Y.applyUpdate(to, Y.encodeStateAsUpdate(from, Y.encodeStateVector(to)))
        changed ||= !isDeepStrictEqual(before, state(to))
      }
    }
    if (!changed) return
  }
}

function state (doc) {
  const snapshot = Y.snapshot(doc)
  const clocks = [...snapshot.sv].sort(([a], [b]) => a - b)
  const deleted = [...snapshot.ds.clients].sort(([a], [b]) => a - b)
  return { content: content(doc), stateVector: clocks, deleteSet: deleted.map(([client, ranges]) => [client, ranges.map(({ clock, len }) => [clock, len])]), waits: doc.store.pendingStructs !== null || doc.store.pendingDs !== null }
}

/** Which of two clients is the smaller decides between concurrent edits: so all orders of them are tried. */
function * orders (clients) {
  if (clients.length < 2) return yield clients
  for (const [index, first] of clients.entries()) {
    for (const others of orders(clients.toSpliced(index, 1))) yield [first, ...others]
  }
}

function main () {
  const count = REPLICAS + MOMENTS.filter(moment => 'restored' in moment).length
  let tried = 0
  for (const clients of orders(Array.from({ length: count }, (_, index) => index + 1))) {
    if (tried++ === MAX_ORDERS) break
    const docs = replay(clients)
    heal(docs)
    const states = docs.map(state)
    const different = states.findIndex(other => !isDeepStrictEqual(other, states[0]))
    if (different === -1 && !states[0].waits) continue
    console.log(`Yjs does NOT converge, with the clients ${clients.join(', ')}:`)
    states.forEach((state, index) => console.log(`${index === 0 ? 'server   ' : `replica ${index - 1}`} ${JSON.stringify(state)}`))
    process.exitCode = 1
    return
  }
  console.log('Yjs converges.')
}

main()
