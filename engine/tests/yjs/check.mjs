// Answers what real Yjs makes of updates, for as long as stdin is open.
//
// Request, all integers u32 little-endian:
//   length of all that follows · length of the header · header (JSON) · count of blobs · count × (length · bytes)
// Response:
//   length · JSON: { "ok": true, … } or { "ok": false, "error": "…" }; a request that Yjs throws on never ends the process.
//
// header                                                      blobs            answer
// {"do":"canonical","roots":{"<name>":"<type>"},"gc":bool?}   updates          canonical (see canonical.mjs), pending: bool
// {"do":"stateVector"}                                        updates          hex
// {"do":"state","gc":bool?}                                   updates          hex: the whole state as one update
// {"do":"diff","gc":bool?}                                    state, vector    hex: the update that a replica standing at the vector lacks
// {"do":"merge"}                                              updates          hex: one update, without running them
// {"do":"history","seed":n,"clients":k?,"steps":n?,           none             updates: [hex], roots, canonical
//  "content":"<type>"|"all"?,"gc":bool?,"cutPairs":bool?}
// {"do":"story","story":"<name>",…}                           none             the same, of stories.mjs
//
// Blobs are updates (v1), applied in their order to a fresh document that collects garbage unless "gc" is false.

import * as Y from 'yjs'
import { canonical, isPending, load } from './canonical.mjs'
import { randomHistory } from './history.mjs'
import { STORIES } from './stories.mjs'

const MOST_REQUEST = 1 << 30

function answer (header, blobs) {
  switch (header.do) {
    case 'canonical': {
      const doc = load(blobs, header)
      return { canonical: canonical(doc, header.roots ?? {}), pending: isPending(doc) }
    }
    case 'stateVector': return { hex: hex(Y.encodeStateVector(load(blobs, header))) }
    case 'state': return { hex: hex(Y.encodeStateAsUpdate(load(blobs, header))) }
    case 'diff': return { hex: hex(Y.encodeStateAsUpdate(load([blobs[0]], header), blobs[1])) }
    case 'merge': return { hex: hex(Y.mergeUpdates(blobs)) }
    case 'history': return told(randomHistory(header), header)
    case 'story': return told(STORIES[header.story](header), header)
    default: throw new Error(`no such request: ${header.do}`)
  }
}

function told ({ updates, types }, header) {
  return { updates: updates.map(hex), roots: types, canonical: canonical(load(updates, header), types) }
}

function hex (bytes) {
  return Buffer.from(bytes).toString('hex')
}

/** Header and blobs of a request without its length. The blobs are copies: Yjs keeps views of what it reads. */
function parse (request) {
  let at = 0
  const u32 = () => { at += 4; return request.readUInt32LE(at - 4) }
  const part = () => {
    const length = u32()
    if (at + length > request.length) throw new Error('the request ends inside a part')
    at += length
    return new Uint8Array(request.subarray(at - length, at))
  }
  const header = JSON.parse(new TextDecoder().decode(part()))
  const blobs = Array.from({ length: u32() }, part)
  return { header, blobs }
}

function respond (request) {
  try {
    const { header, blobs } = parse(request)
    return { ok: true, ...answer(header, blobs) }
  } catch (error) {
    return { ok: false, error: String(error?.stack ?? error) }
  }
}

function write (response) {
  const body = Buffer.from(JSON.stringify(response))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(body.length)
  process.stdout.write(Buffer.concat([length, body]))
}

// Yjs reports what goes wrong in observers, and unusual documents, on the console: stdout is for responses only.
console.log = console.info = console.warn = console.error

let chunks = []
let received = 0
let needed = 4
process.stdin.on('data', chunk => {
  chunks.push(chunk)
  received += chunk.length
  while (received >= needed) {
    const bytes = Buffer.concat(chunks)
    const length = bytes.readUInt32LE(0)
    if (length > MOST_REQUEST) {
      write({ ok: false, error: `a request of ${length} bytes is too long` })
      process.exit(1)
    }
    needed = 4 + length
    chunks = [bytes]
    if (received < needed) break
    write(respond(bytes.subarray(4, needed)))
    chunks = [bytes.subarray(needed)]
    received -= needed
    needed = 4
  }
})
