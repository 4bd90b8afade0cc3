// The clients of these tests: unmodified providers, and a bare WebSocket that says exactly what a test wants it to.

import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import WebSocket from 'ws'
import { WebsocketProvider as Provider1 } from 'y-websocket-1'
import { WebsocketProvider as Provider2 } from 'y-websocket-2'
import { WebsocketProvider as Provider3 } from 'y-websocket-3'
import * as sync from 'y-protocols/sync'
import * as Y from 'yjs'
import { until } from './harness.mjs'

export { Y }

/** The versions of y-websocket that people use, by name. */
export const PROVIDERS = { 'y-websocket 1.5': Provider1, 'y-websocket 2.1': Provider2, 'y-websocket 3.1': Provider3 }

export const MESSAGE = { sync: 0, awareness: 1, auth: 2, queryAwareness: 3, acknowledge: 102 }

/** A provider as an editor makes it, with `text`, `map` and `array` at hand; destroyed after the test. */
export function connect (t, Provider, server, name, doc = new Y.Doc(), options = {}) {
  const provider = new Provider(server.url, name, doc, { disableBc: true, WebSocketPolyfill: WebSocket, ...options })
  t.after(() => {
    provider.destroy()
    doc.destroy()
  })
  return Object.assign(provider, { text: doc.getText('text'), map: doc.getMap('map'), array: doc.getArray('array') })
}

export async function synced (...providers) {
  await until('all providers are synced', () => providers.every(provider => provider.synced))
}

/** Waits until all show the same, and nothing of what one knows is unknown to another. */
export async function converged (...providers) {
  await until('all providers show the same', () => new Set(providers.map(shown)).size === 1, 30)
}

function shown ({ doc, text, map, array }) {
  const states = [...Y.decodeStateVector(Y.encodeStateVector(doc))].sort(([a], [b]) => a - b)
  const entries = Object.entries(map.toJSON()).sort(([a], [b]) => a < b ? -1 : 1)
  return JSON.stringify([states, text.toDelta(), entries, array.toJSON()])
}

/** A WebSocket that keeps what it gets: `frames`, and `closed`, a promise of `{ code, reason }`. */
export class Bare {
  frames = []
  isClosed = false

  /** Opened, and closed after the test. */
  static async open (t, server, name) {
    const bare = new Bare(`${server.url}/${name}`)
    t.after(() => bare.socket.terminate())
    return await bare.opened()
  }

  constructor (url, options = {}) {
    this.socket = new WebSocket(url, { perMessageDeflate: false, ...options })
    this.socket.on('message', frame => this.frames.push(new Uint8Array(frame)))
    this.socket.on('error', () => {}) // a close follows
    this.closed = new Promise(resolve => this.socket.on('close', (code, reason) => {
      this.isClosed = true
      resolve({ code, reason: reason.toString() })
    }))
  }

  get isOpen () { return this.socket.readyState === WebSocket.OPEN }

  async opened () {
    await until(`${this.socket.url} is open`, () => {
      if (this.isClosed) throw new Error(`no WebSocket at ${this.socket.url}`)
      return this.isOpen
    })
    return this
  }

  send (frame) { this.socket.send(frame) }

  /** Sends a SyncStep1 and takes in the answer: the document as the server has it. */
  async document () {
    const doc = new Y.Doc()
    let answered = false
    const from = this.frames.length
    this.send(step1(doc))
    await until('an answer to SyncStep1', () => {
      for (const frame of this.frames.slice(from)) {
        if (frame[0] === MESSAGE.sync && frame[1] === sync.messageYjsSyncStep2) {
          Y.applyUpdate(doc, body(frame))
          answered = true
        }
      }
      return answered || this.isClosed
    })
    if (!answered) throw new Error(`closed instead of an answer: ${JSON.stringify(await this.closed)}`)
    return doc
  }

  /** Sends a message 102 with this payload and waits until it comes back. */
  async acknowledged (payload, seconds) {
    const frame = message(MESSAGE.acknowledge, payload)
    this.send(frame)
    await until('the acknowledgement', () => this.frames.some(got => Buffer.compare(got, frame) === 0), seconds)
  }

  async close () {
    this.socket.close()
    await this.closed
  }
}

/** `type, varBuf payload` */
export function message (type, payload) {
  return encoding.encode(encoder => {
    encoding.writeVarUint(encoder, type)
    encoding.writeVarUint8Array(encoder, Uint8Array.from(payload))
  })
}

/** A sync message: `kind` is 0 SyncStep1, 1 SyncStep2 or 2 Update. */
export function syncMessage (kind, payload) {
  return encoding.encode(encoder => {
    encoding.writeVarUint(encoder, MESSAGE.sync)
    encoding.writeVarUint(encoder, kind)
    encoding.writeVarUint8Array(encoder, Uint8Array.from(payload))
  })
}

export const step1 = doc => syncMessage(sync.messageYjsSyncStep1, Y.encodeStateVector(doc))
export const update = bytes => syncMessage(sync.messageYjsUpdate, bytes)

/** The payload of a sync message. */
export function body (frame) {
  const decoder = decoding.createDecoder(frame)
  decoding.readVarUint(decoder)
  decoding.readVarUint(decoder)
  return decoding.readVarUint8Array(decoder)
}
