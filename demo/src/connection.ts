/**
 * When the provider of a document connects. y-websocket's own reconnects have no jitter and do not say when they come, so they
 * are switched off after each close and made here.
 */

import * as decoding from 'lib0/decoding'
import type { WebsocketProvider } from 'y-websocket'
import { Signal } from './signal'

export type State =
  | { kind: 'connecting' }
  | { kind: 'connected' }
  /** Tries again at `until`, in milliseconds of `Date.now()`. */
  | { kind: 'waiting', until: number, why: string | null }
  /** Cut by the person. */
  | { kind: 'cut' }
  /** Trying again is pointless. */
  | { kind: 'refused', why: string }

const FIRST_DELAY = 500
const LONGEST_DELAY = 20_000

/** A WebSocket that takes longer to open, in milliseconds, has failed; browsers wait for minutes. */
const ATTEMPT = 10_000

/** After a connection that lasted so many milliseconds the next delay is short again. */
const PROVEN = 5_000

const MESSAGE_AUTH = 2

/** The pause before an attempt, in milliseconds: it doubles with each, and half of it is random, so that a thousand pages do not come back at once. */
export function delay(attempt: number, random = Math.random()): number {
  const whole = Math.min(FIRST_DELAY * 2 ** attempt, LONGEST_DELAY)
  return whole / 2 + random * whole / 2
}

export class Connection {
  readonly changed = new Signal()
  state: State = { kind: 'connecting' }
  #attempts = 0
  #timer = 0
  #denied: string | null = null
  #provider: WebsocketProvider

  constructor(provider: WebsocketProvider) {
    this.#provider = provider
    provider.shouldReconnect = () => true // decided here
    provider.on('connection-close', event => this.#closed(event))
    provider.on('status', ({ status }) => { if (status === 'connected') clearTimeout(this.#timer) })
    provider.on('sync', synced => { if (synced) this.#synced() })
    provider.messageHandlers[MESSAGE_AUTH] = (_encoder, decoder) => {
      decoding.readVarUint(decoder)
      this.#denied = decoding.readVarString(decoder)
    }
  }

  /** Connects at once, unless a connection is open or being opened. */
  connect(): void {
    if (this.state.kind === 'connected' || this.#provider.ws !== null) return
    this.#denied = null
    this.#become({ kind: 'connecting' })
    this.#after(ATTEMPT, () => {
      this.#provider.disconnect()
      this.#wait('The server does not answer.')
    })
    this.#provider.connect()
  }

  /** Ends the pause before the next attempt, if there is one. */
  hurry(): void {
    if (this.state.kind === 'waiting') this.connect()
  }

  cut(): void {
    clearTimeout(this.#timer)
    this.#provider.disconnect()
    this.#become({ kind: 'cut' })
  }

  #synced(): void {
    this.#become({ kind: 'connected' })
    this.#after(PROVEN, () => { this.#attempts = 0 })
  }

  #closed(event: CloseEvent | null): void {
    // Nothing else sets it to false before this: the provider itself was told to disconnect.
    if (!this.#provider.shouldConnect) return
    this.#provider.shouldConnect = false
    const refusal = event === null ? null : refused(event, this.#denied)
    if (refusal !== null) {
      clearTimeout(this.#timer)
      this.#become({ kind: 'refused', why: refusal })
    } else {
      this.#wait(event === null ? null : reason(event))
    }
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

/**
 * The words for a close after which another attempt would be refused as well: 4400 to 4499, 1008 and 1009. Null for other codes.
 */
function refused({ code, reason }: CloseEvent, denied: string | null): string | null {
  const detail = denied ?? reason
  const said = detail === '' ? '' : ` The server says: “${detail}”.`
  if (code === 1008 || code === 1009) return `The server refuses what was written on this page, and does not save it.${said}`
  if (code < 4400 || code >= 4500) return null
  switch (code) {
    case 4401: return `The server does not accept who you are: the token in this link is missing, wrong or too old. Ask for a new link.${said}`
    case 4403: return `You are not allowed to open this room. Ask somebody who is.${said}`
    case 4404: return `There is no such document on this server.${said}`
    default: return `The server refuses this document (${code}).${said}`
  }
}

/** The words for a close after which another attempt makes sense; null if there is nothing to say. */
function reason({ code, reason }: CloseEvent): string | null {
  const said = reason === '' ? '' : ` It says: “${reason}”.`
  switch (code) {
    case 1001: return 'The server is stopping or starting again.'
    case 1011: return `The server cannot read this document.${said}`
    case 1013: return `The server is at its limit.${said}`
    default: return null
  }
}
