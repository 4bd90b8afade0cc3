/**
 * When a document connects, whichever provider does it. The providers' own reconnects do not say when they come, and
 * y-websocket's have no jitter, so they are switched off and made here.
 */

import { Signal } from '../signal'
import type { State } from './connection'
import { interruption, refusal } from './words'

const FIRST_DELAY = 500
const LONGEST_DELAY = 20_000

/** A WebSocket that takes longer to open, in milliseconds, has failed; browsers wait for minutes. */
const ATTEMPT = 10_000

/** After a connection that lasted so many milliseconds the next delay is short again. */
const PROVEN = 5_000

/** The pause before an attempt, in milliseconds: it doubles with each, and half of it is random, so that a thousand pages do not come back at once. */
export function delay(attempt: number, random = Math.random()): number {
  const whole = Math.min(FIRST_DELAY * 2 ** attempt, LONGEST_DELAY)
  return whole / 2 + random * whole / 2
}

export abstract class Reconnecting {
  readonly changed = new Signal()
  state: State = { kind: 'connecting' }
  #attempts = 0
  #timer = 0
  /** Whether the connection is open or being opened. */
  #isUp = false

  /** Makes one attempt, which ends with `opened` or `closed`. */
  protected abstract open(): void

  /** Gives up the connection, or the attempt to open it. */
  protected abstract close(): void

  connect(): void {
    if (this.#isUp) return
    this.#isUp = true
    this.#become({ kind: 'connecting' })
    this.#after(ATTEMPT, () => {
      this.#end()
      this.#wait('The server does not answer.')
    })
    this.open()
  }

  hurry(): void {
    if (this.state.kind === 'waiting') this.connect()
  }

  cut(): void {
    this.#end()
    this.#become({ kind: 'cut' })
  }

  /** The server is there; how long a document may take is another matter. */
  protected opened(): void {
    clearTimeout(this.#timer)
  }

  protected synced(): void {
    this.#become({ kind: 'connected' })
    this.#after(PROVEN, () => { this.#attempts = 0 })
  }

  /** The socket has closed: with an event from the server, or with none. `denied` is what the server has said before, if anything. */
  protected closed(event: CloseEvent | null, denied: string | null): void {
    if (!this.#isUp) return
    const refused = event === null ? null : refusal(event, denied)
    if (refused === null) this.interrupted(event === null ? null : interruption(event))
    else this.refused(refused)
  }

  /** The connection is over, and another attempt makes sense. */
  protected interrupted(why: string | null): void {
    this.#end()
    this.#wait(why)
  }

  /** The connection is over, and another attempt would be refused as well. */
  protected refused(why: string): void {
    this.#end()
    this.#become({ kind: 'refused', why })
  }

  #end(): void {
    clearTimeout(this.#timer)
    this.#isUp = false
    this.close()
  }

  #wait(why: string | null): void {
    const pause = delay(this.#attempts)
    this.#attempts += 1
    this.#become({ kind: 'waiting', until: Date.now() + pause, why })
    this.#after(pause, () => this.connect())
    if (why === null && this.#attempts === 3) void this.#diagnose()
  }

  /** Browsers don't say why a WebSocket fails. A server that answers plain HTTP is there, and does not open this document. */
  async #diagnose(): Promise<void> {
    const answers = await fetch('/healthz', { cache: 'no-store' }).then(response => response.ok, () => false)
    if (answers && this.state.kind === 'waiting') {
      const why = 'The server is there, but does not open this document: it may be at its limit, too old, or behind a proxy that does not pass WebSockets on.'
      this.#become({ ...this.state, why })
    }
  }

  #become(state: State): void {
    this.state = state
    this.changed.emit()
  }

  #after(pause: number, then: () => void): void {
    clearTimeout(this.#timer)
    this.#timer = window.setTimeout(then, pause)
  }
}
