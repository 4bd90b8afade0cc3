// Replicas in real Yjs, for as long as stdin is open: a socket, on which responses are written as well.
//
// A request and its response are each a list of parts; all integers are u32 little-endian:
//   length of all that follows · parts × (length · bytes)
// The first part is a header in JSON, the others are called blobs. A request that Yjs throws on never ends the process.
//
// header of the request                                  blobs     header of the response   blobs
// {"do":"hello"}
// {"do":"create","replica":n,"client":n,"undo":bool}               waiting                  state vector
// {"do":"edit","replica":n,"edit":…}                               waiting                  state vector, updates that it wrote …
// {"do":"apply","replica":n}                             update    waiting                  state vector, updates that it wrote …
// {"do":"diff","replica":n}                              vector                             update
// {"do":"view","replica":n}                                        content (view.mjs)       delete set, state vector
// {"do":"load"}                                          updates   content                  delete set, state vector
// {"do":"drop","replica":n}
//
// Instead: {"refused":"…"} if Yjs throws on the blobs, {"error":"…"} if it throws on anything else.

import fs from 'node:fs'
import * as Y from 'yjs'
import { change, ROOTS } from './edits.mjs'
import { content } from './view.mjs'

const SOCKET = 0
const OWN = 'own'

class Refused extends Error {}

class Replica {
  constructor (client, undo) {
    this.client = client
    this.doc = new Y.Doc({ guid: 'document' })
    this.doc.clientID = client
    const roots = Object.values(ROOTS).map(root => root(this.doc))
    this.undo = undo ? new Y.UndoManager(roots, { captureTimeout: 0, trackedOrigins: new Set([OWN]) }) : null
    this.written = []
    // After a remote transaction Yjs may write one of its own, which deletes redundant formats.
    this.doc.on('update', (update, origin, doc, transaction) => { if (transaction.local) this.written.push(update) })
  }

  edit (edit) {
    if (edit === 'undo') this.undo?.undo()
    else if (edit === 'redo') this.undo?.redo()
    else {
      this.undo?.stopCapturing() // whatever the clock says, each edit is undone by itself
      this.doc.transact(() => change(this.doc, edit.change), OWN)
    }
    return this.result()
  }

  apply (update) {
    refusing(() => Y.applyUpdate(this.doc, update))
    if (this.doc.clientID !== this.client) throw new Refused(`it has blocks of client ${this.client}, which are not from there`)
    return this.result()
  }

  result () {
    return [{ waiting: isWaiting(this.doc) }, Y.encodeStateVector(this.doc), ...this.written.splice(0)]
  }
}

const replicas = new Map()

function answer (header, blobs) {
  switch (header.do) {
    case 'hello': return [{}]
    case 'load': return view(load(blobs))
    case 'create': {
      const replica = new Replica(header.client, header.undo)
      replicas.set(header.replica, replica)
      return replica.result()
    }
  }
  const replica = replicas.get(header.replica)
  if (replica === undefined) throw new Error(`no such replica: ${header.replica}`)
  switch (header.do) {
    case 'edit': return replica.edit(header.edit)
    case 'apply': return replica.apply(blobs[0])
    case 'diff': return [{}, refusing(() => Y.encodeStateAsUpdate(replica.doc, blobs[0]))]
    case 'view': return view(replica.doc)
    case 'drop': replicas.delete(header.replica); return [{}]
    default: throw new Error(`no such request: ${header.do}`)
  }
}

function refusing (act) {
  try {
    return act()
  } catch (error) {
    throw new Refused(String(error))
  }
}

/** A document that reads updates and writes none itself. */
function load (updates) {
  const doc = new Y.Doc()
  for (const update of updates) {
    doc.transact(transaction => {
      refusing(() => Y.applyUpdate(doc, update))
      transaction.local = true // or else Yjs deletes redundant formats
    })
  }
  return doc
}

function view (doc) {
  const deletions = Y.encodeSnapshot(Y.createSnapshot(Y.snapshot(doc).ds, new Map())) // ends with a state vector of nothing
  return [{ content: content(doc) }, deletions, Y.encodeStateVector(doc)]
}

function isWaiting (doc) {
  return doc.store.pendingStructs !== null || doc.store.pendingDs !== null
}

function respond (request) {
  try {
    const [header, ...blobs] = parts(request)
    return answer(JSON.parse(Buffer.from(header).toString()), blobs)
  } catch (error) {
    return [error instanceof Refused ? { refused: error.message } : { error: String(error?.stack ?? error) }]
  }
}

/** The parts of a request. Yjs keeps views of what it reads, which is why each request has a buffer of its own. */
function parts (request) {
  const parts = []
  for (let at = 0; at < request.length;) {
    const start = at + 4
    at = start + request.readUInt32LE(at)
    if (at > request.length) throw new Error('the request ends inside a part')
    parts.push(new Uint8Array(request.buffer, request.byteOffset + start, at - start))
  }
  return parts
}

/** Exactly so many bytes; `null` at the end of the socket. */
function read (length) {
  const bytes = Buffer.allocUnsafeSlow(length)
  for (let at = 0; at < length;) {
    const count = fs.readSync(SOCKET, bytes, at, length - at)
    if (count === 0) return null
    at += count
  }
  return bytes
}

function write ([header, ...blobs]) {
  const parts = [Buffer.from(JSON.stringify(header)), ...blobs]
  const frame = Buffer.allocUnsafe(parts.reduce((length, part) => length + 4 + part.length, 4))
  let at = frame.writeUInt32LE(frame.length - 4)
  for (const part of parts) {
    at = frame.writeUInt32LE(part.length, at)
    frame.set(part, at)
    at += part.length
  }
  for (at = 0; at < frame.length;) at += fs.writeSync(SOCKET, frame, at)
}

// Reads and writes that block: a third of the time of a round trip through the event loop.
for (;;) {
  const length = read(4)
  const request = length && read(length.readUInt32LE())
  if (request === null) break
  write(respond(request))
}
