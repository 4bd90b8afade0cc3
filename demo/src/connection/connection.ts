/** A document's connection to the server, whichever provider makes it. */

import type { Awareness } from 'y-protocols/awareness'
import type * as Y from 'yjs'
import type { Signal } from '../signal'
import type { Traffic } from './traffic'

export type State =
  | { kind: 'connecting' }
  | { kind: 'connected' }
  /** Tries again at `until`, in milliseconds of `Date.now()`. */
  | { kind: 'waiting', until: number, why: string | null }
  /** Cut by the person. */
  | { kind: 'cut' }
  /** Trying again is pointless. */
  | { kind: 'refused', why: string }

export interface Connection {
  /** `state` has changed. */
  readonly changed: Signal
  readonly state: State
  readonly saved: Saved
  readonly traffic: Traffic
  /** Connects at once, unless a connection is open or being opened. */
  connect(): void
  /** Ends the pause before the next attempt, if there is one. */
  hurry(): void
  cut(): void
}

/** Which changes of a document are on the server's disk. */
export interface Saved {
  readonly changed: Signal
  /** When the server last said that everything is on disk. */
  readonly at: Date | null
  /** How many changes of this page the server has not yet confirmed. */
  readonly waiting: number
  /** From a message to its confirmation, in milliseconds. */
  readonly roundTrip: number | null
  /** How long a confirmation has been missing, in milliseconds; null if that is not unusual. */
  readonly late: number | null
  /** Whether this server seems not to confirm anything at all. */
  readonly isUnknown: boolean
  /** Measures the round trip without a change, if the provider can. */
  probe(): void
}

/** A confirmation that takes longer, in milliseconds, is shown to be late. */
export const LATE = 8_000

/** Makes the connection of a document, which is a part of a room. It connects when it is told to. */
export type Connect = (room: string, part: string, doc: Y.Doc, awareness: Awareness) => Connection

/** What a provider needs to connect the documents of a page: the token that the page was opened with. */
export type Connector = (token: string | null) => Connect
