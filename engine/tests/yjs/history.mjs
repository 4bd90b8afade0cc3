// Editors that type into documents of their own and hear of each other late, partly and out of order.
// Everything is decided by the seed: client ids, guids of sub-documents, every edit, every delivery.

import * as prng from 'lib0/prng'
import * as Y from 'yjs'
import { randomEdit, TYPES } from './edits.mjs'

const DELIVERY = 'delivery'

/** Several documents with given client ids; `updates` is what they produced, in that order. */
export class Editors {
  constructor (clients, { gc = true } = {}) {
    this.updates = []
    this.docs = clients.map(client => {
      const doc = new Y.Doc({ gc, guid: `editor-${client}` })
      doc.clientID = client
      return doc
    })
    this.inboxes = clients.map(() => [])
    this.docs.forEach((doc, author) => doc.on('update', (update, origin) => {
      if (origin !== DELIVERY) this.#publish(author, update)
    }))
  }

  #publish (author, update) {
    this.updates.push(update)
    this.inboxes.forEach((inbox, reader) => { if (reader !== author) inbox.push(update) })
  }

  /** Gives one reader the update at `position` of its inbox; out of order leaves it with a gap for a while. */
  deliver (reader, position = 0) {
    const [update] = this.inboxes[reader].splice(position, 1)
    if (update !== undefined) Y.applyUpdate(this.docs[reader], update, DELIVERY)
  }

  deliverAll () {
    while (this.inboxes.some(inbox => inbox.length > 0)) {
      this.inboxes.forEach((inbox, reader) => { while (inbox.length > 0) this.deliver(reader) })
    }
  }

  /** One editor sends all that another lacks, as a SyncStep2 would: repeats, merged blocks, GC and the whole delete set. */
  sync (author, reader) {
    const update = Y.encodeStateAsUpdate(this.docs[author], Y.encodeStateVector(this.docs[reader]))
    this.updates.push(update)
    Y.applyUpdate(this.docs[reader], update, DELIVERY)
  }
}

/**
 * A random history: `{ updates, types }`, the updates in the order they were produced, so that each comes after all it depends on.
 * `content` is one of the types of root, or "all". Surrogate pairs are cut only with `cutPairs`: each replica that cuts one puts U+FFFD
 * for the halves, so what Yjs shows in the end depends on whether a reader got the halves before or after, and replicas differ.
 */
export function randomHistory ({ seed, clients = 3, steps = 100, content = 'all', gc = true, cutPairs = false }) {
  const gen = prng.create(seed)
  const editors = new Editors(clientIds(gen, clients), { gc })
  const types = content === 'all' ? TYPES : Object.fromEntries(Object.entries(TYPES).filter(([, type]) => type === content))
  if (Object.keys(types).length === 0) throw new Error(`no such content: ${content}`)
  const undo = editors.docs.map(doc => undoManager(doc, types))
  for (let step = 0; step < steps; step++) {
    const at = prng.int32(gen, 0, clients - 1)
    const chance = prng.int32(gen, 0, 99)
    if (chance < 60) randomEdit(gen, editors.docs[at], types, cutPairs)
    else if (chance < 64) undo[at].undo()
    else if (chance < 67) undo[at].redo()
    else if (chance < 92) editors.deliver(at, lateness(gen, editors.inboxes[at].length))
    else if (chance < 96) editors.sync(at, prng.int32(gen, 0, clients - 1))
    else undo[at].clear() // lets go of deleted content, which an undo manager keeps from garbage collection
  }
  editors.deliverAll()
  return { updates: editors.updates, types }
}

/** Mostly the oldest first, sometimes any: that is what makes gaps. */
function lateness (gen, length) {
  return length > 0 && prng.int32(gen, 0, 4) === 0 ? prng.int32(gen, 0, length - 1) : 0
}

/** Distinct ids of every encoded length: one byte up to the 53 bits that JavaScript can count to. */
function clientIds (gen, count) {
  const highest = [0x7f, 0x3fff, 0x7fffffff, 0xffffffff, Number.MAX_SAFE_INTEGER]
  const ids = new Set()
  while (ids.size < count) ids.add(prng.int53(gen, 1, highest[prng.int32(gen, 0, 9)] ?? 0xffffffff))
  return [...ids]
}

function undoManager (doc, types) {
  const get = { text: 'getText', map: 'getMap', array: 'getArray', xml: 'getXmlFragment' }
  const roots = Object.entries(types).map(([name, type]) => doc[get[type]](name))
  return new Y.UndoManager(roots, { captureTimeout: 0 }) // not by the wall clock: each edit by itself
}
