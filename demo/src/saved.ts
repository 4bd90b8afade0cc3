/**
 * Which changes of a document are on the server's disk. The page sends SyncStatus (message 102) with a number of its own. The
 * server sends the number back when all earlier messages of the page are in its log and the log is synced.
 */

import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import type { WebsocketProvider } from 'y-websocket'
import type * as Y from 'yjs'
import { Signal } from './signal'

const MESSAGE_SYNC = 0
const SYNC_STEP_1 = 0
const MESSAGE_SAVED = 102

/** Changes within so many milliseconds share one question. */
const DEBOUNCE = 120

/** An answer that takes longer, in milliseconds, is shown to be late. */
const LATE = 8_000

interface Question {
  id: number
  changes: number
  askedAt: number
}

export class Saved {
  readonly changed = new Signal()
  /** When the server last said that everything is on disk. */
  at: Date | null = null
  /** From the last question to its answer, in milliseconds. */
  roundTrip: number | null = null
  #changes = 0
  #savedChanges = 0
  #questions: Question[] = []
  #lastId = 0
  #answered = false
  #ready = false
  #timer = 0
  #provider: WebsocketProvider

  constructor(provider: WebsocketProvider, doc: Y.Doc) {
    this.#provider = provider
    doc.on('update', (_update: Uint8Array, origin: unknown, _doc: Y.Doc, transaction: Y.Transaction) => {
      if (origin === provider) return
      if (transaction.local) this.#changes += 1
      else this.at = null // from this browser's copy: the server may not have it
      this.#changed()
    })
    provider.on('connection-close', () => {
      this.#ready = false
      this.#questions = []
      this.changed.emit()
    })
    this.#listen()
  }

  /** How many changes of this page the server has not yet confirmed. */
  get waiting(): number { return this.#changes - this.#savedChanges }

  /** Whether the server has confirmed everything, and nothing has changed since. */
  get isSaved(): boolean { return this.at !== null && this.waiting === 0 }

  /** How long an answer has been missing, in milliseconds; null if that is not unusual. */
  get late(): number | null {
    const oldest = this.#questions[0]
    if (oldest === undefined) return null
    const missing = performance.now() - oldest.askedAt
    return missing > LATE ? missing : null
  }

  /** Whether this server seems not to know the message at all. */
  get isUnknown(): boolean { return !this.#answered && this.late !== null }

  /** Asks without a change, to measure the round trip. */
  probe(): void {
    if (this.#questions.length === 0) this.#ask()
  }

  #changed(): void {
    this.changed.emit()
    if (this.#timer === 0) {
      this.#timer = window.setTimeout(() => {
        this.#timer = 0
        this.#ask()
      }, DEBOUNCE)
    }
  }

  #ask(): void {
    if (!this.#ready) return
    const id = ++this.#lastId
    const encoder = encoding.createEncoder()
    encoding.writeVarUint(encoder, MESSAGE_SAVED)
    encoding.writeVarUint8Array(encoder, encoding.encode(payload => encoding.writeVarUint(payload, id)))
    this.#provider.ws?.send(encoding.toUint8Array(encoder))
    this.#questions.push({ id, changes: this.#changes, askedAt: performance.now() })
  }

  #listen(): void {
    const handlers = this.#provider.messageHandlers
    const sync = handlers[MESSAGE_SYNC]
    handlers[MESSAGE_SYNC] = (encoder, decoder, provider, emitSynced, type) => {
      const isQuestion = decoding.peekVarUint(decoder) === SYNC_STEP_1
      sync?.(encoder, decoder, provider, emitSynced, type)
      // The provider sends offline edits as its answer to the server's SyncStep1, right after this returns. An earlier question
      // would not cover them.
      if (isQuestion && !this.#ready) {
        queueMicrotask(() => {
          this.#ready = true
          this.#ask()
        })
      }
    }
    handlers[MESSAGE_SAVED] = (_encoder, decoder) => {
      const payload = decoding.createDecoder(decoding.readVarUint8Array(decoder))
      this.#answer(decoding.readVarUint(payload))
    }
  }

  #answer(id: number): void {
    const question = this.#questions.find(question => question.id === id)
    if (question === undefined) return
    this.#questions = this.#questions.filter(other => other.id > id)
    this.#answered = true
    this.roundTrip = performance.now() - question.askedAt
    const isNews = this.at === null || question.changes > this.#savedChanges
    this.#savedChanges = question.changes
    if (isNews && this.waiting === 0) this.at = new Date()
    this.changed.emit()
  }
}
