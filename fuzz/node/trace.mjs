// Reads updates with real Yjs, for as long as stdin is open. Responses go to stdout.
//
// A request and its response are each a list of parts; all integers are u32 little-endian:
//   length of all that follows · parts × (length · bytes)
// The first part is a header in JSON.
//
// header of the request                     other parts     header of the response   other parts
// {"do":"read","roots":{"<name>":"<type>"}}  updates         content, waiting         delete set, state vector
// {"do":"merge"}                             updates                                  one update
//
// Instead: {"refused":"…"} if Yjs throws.

import fs from 'node:fs'
import * as Y from 'yjs'
import { value } from './view.mjs'

const STDIN = 0
const STDOUT = 1
const TYPES = { text: Y.Text, map: Y.Map, array: Y.Array, xml: Y.XmlFragment }

function answer ({ do: what, roots }, updates) {
  return what === 'merge' ? [{}, Y.mergeUpdates(updates)] : read(roots, updates)
}

function read (roots, updates) {
  const doc = new Y.Doc()
  const types = Object.entries(roots).map(([name, type]) => [name, doc.get(name, TYPES[type])])
  for (const update of updates) {
    doc.transact(transaction => {
      Y.applyUpdate(doc, update)
      transaction.local = true // or else Yjs deletes redundant formats, which are others in each order
    })
  }
  const content = Object.fromEntries(types.map(([name, type]) => [name, value(type)]))
  const waiting = doc.store.pendingStructs !== null || doc.store.pendingDs !== null
  const deletions = Y.encodeSnapshot(Y.createSnapshot(Y.snapshot(doc).ds, new Map())) // ends with a state vector of nothing
  return [{ content, waiting }, deletions.subarray(0, -1), Y.encodeStateVector(doc)]
}

function respond (request) {
  try {
    const [header, ...updates] = parts(request)
    return answer(JSON.parse(Buffer.from(header).toString()), updates)
  } catch (error) {
    return [{ refused: String(error?.message ?? error) }]
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

const sleeper = new Int32Array(new SharedArrayBuffer(4))

/** Retries a call until the pipe is ready: Node may have made the pipe one that does not block. */
function whenReady (act) {
  for (;;) {
    try {
      return act()
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error
      Atomics.wait(sleeper, 0, 0, 1)
    }
  }
}

/** Exactly so many bytes; `null` at the end of stdin. */
function take (length) {
  const bytes = Buffer.allocUnsafeSlow(length)
  for (let at = 0; at < length;) {
    const count = whenReady(() => fs.readSync(STDIN, bytes, at, length - at))
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
  for (at = 0; at < frame.length;) at += whenReady(() => fs.writeSync(STDOUT, frame, at))
}

for (;;) {
  const length = take(4)
  const request = length && take(length.readUInt32LE())
  if (request === null) break
  write(respond(request))
}
