/** Documents by Hocuspocus' provider: all of a page share one socket, and each message says which document it is of. */

import { HocuspocusProvider, HocuspocusProviderWebsocket, WebSocketStatus } from '@hocuspocus/provider'
import * as decoding from 'lib0/decoding'
import type { Awareness } from 'y-protocols/awareness'
import type * as Y from 'yjs'
import { documentName } from '../room-name'
import { Signal } from '../signal'
import { LATE, type Connection, type Connector, type Saved } from './connection'
import { Reconnecting } from './reconnecting'
import { countingSocket, Traffic } from './traffic'
import { closing, denial } from './words'

export const hocuspocus: Connector = token => {
  const line = new Line()
  return (room, part, doc, awareness) => new HocuspocusConnection(line, documentName(room, part), doc, awareness, token)
}

class HocuspocusConnection extends Reconnecting implements Connection {
  readonly traffic: Traffic
  readonly saved: Unsynced
  #line: Line
  #provider: HocuspocusProvider
  #use: Use

  constructor(line: Line, name: string, doc: Y.Doc, awareness: Awareness, token: string | null) {
    super()
    const provider = new HocuspocusProvider({ websocketProvider: line.socket, name, document: doc, awareness, token })
    this.#line = line
    this.#provider = provider
    this.traffic = line.trafficOf(name)
    this.saved = new Unsynced(provider, doc)
    this.#use = { opened: () => this.#opened(), closed: event => this.closed(event, null) }
    awareness.on('update', ({ removed }: { removed: number[] }, origin: unknown) => {
      // So the server asks for a higher clock, at which those who come back see the state again. The provider does not answer.
      if (origin === provider && removed.includes(doc.clientID)) awareness.setLocalState(awareness.getLocalState())
    })
    provider.on('synced', () => this.synced())
    provider.on('authenticationFailed', ({ reason }: { reason: string }) => this.refused(denial(reason)))
    provider.on('close', ({ event }: { event: { reason: string } }) => {
      // Where the socket has closed, this document does not use it any more.
      if (line.isUsed(this.#use)) this.interrupted(closing(event.reason))
    })
  }

  protected override open(): void {
    this.#line.use(this.#use)
  }

  protected override close(): void {
    this.#provider.detach()
    // A provider does this only when its socket closes: the others are gone, and nothing is synced.
    this.#provider.onClose()
    this.#line.leave(this.#use)
  }

  /**
   * Attaches the provider, which sends nothing before. Were it attached without a socket, its changes would wait in a queue. The
   * server would confirm each, but the provider counts anew when it connects, and would take what comes later for saved too soon.
   */
  #opened(): void {
    this.opened()
    this.#provider.setConfiguration({ websocketProvider: this.#line.socket })
    this.#provider.attach()
  }
}

/** What a document does when the socket that it uses has opened, or closed. */
interface Use {
  opened(): void
  closed(event: CloseEvent | null): void
}

/** The socket of all documents. It is opened for the first that uses it, closed with the last, and never opened again: there is a new one. */
class Line {
  socket: HocuspocusProviderWebsocket
  #uses = new Set<Use>()
  #traffic = new Map<string, Traffic>()

  constructor() {
    this.socket = this.#make()
  }

  /** The messages of a document. */
  trafficOf(name: string): Traffic {
    const traffic = this.#traffic.get(name) ?? new Traffic()
    this.#traffic.set(name, traffic)
    return traffic
  }

  isUsed(use: Use): boolean { return this.#uses.has(use) }

  use(use: Use): void {
    this.#uses.add(use)
    if (this.socket.status === WebSocketStatus.Connected) use.opened()
    else if (this.#uses.size === 1) void this.socket.connect()
  }

  leave(use: Use): void {
    if (this.#uses.delete(use) && this.#uses.size === 0) this.#replace()
  }

  #make(): HocuspocusProviderWebsocket {
    const socket = new HocuspocusProviderWebsocket({
      url: location.origin.replace(/^http/, 'ws'),
      autoConnect: false,
      maxAttempts: 1, // the documents decide on further ones
      WebSocketPolyfill: countingSocket(message => this.#traffic.get(addressOf(message))),
    })
    socket.on('open', () => { for (const use of [...this.#uses]) use.opened() })
    socket.on('disconnect', ({ event }: { event: unknown }) => this.#closed(event))
    return socket
  }

  #closed(event: unknown): void {
    const uses = [...this.#uses]
    this.#uses.clear()
    this.#replace()
    // The provider has an object of its own for a socket that has been silent for too long.
    for (const use of uses) use.closed(event instanceof CloseEvent ? event : null)
  }

  #replace(): void {
    this.socket.destroy()
    this.socket = this.#make()
  }
}

/** The document that a message is of: each begins with its name, but for a ping and its answer. */
function addressOf(message: Uint8Array): string {
  return message.length === 1 ? '' : decoding.readVarString(decoding.createDecoder(message))
}

/**
 * Which changes are on the server's disk, by Hocuspocus. The provider counts its messages with changes, and the server confirms
 * each (SyncStatus) when it is on disk. When it connects, the provider counts anew: one message has all that was written before.
 */
class Unsynced implements Saved {
  readonly changed = new Signal()
  readonly isUnknown = false
  at: Date | null = null
  waiting = 0
  roundTrip: number | null = null
  /** When each message was sent that is not confirmed, the oldest first. */
  #sent: number[] = []
  /** Whether the message is not confirmed yet that has all that was written before the provider connected. */
  #syncs = false

  constructor(provider: HocuspocusProvider, doc: Y.Doc) {
    doc.on('update', (_update: Uint8Array, origin: unknown, _doc: Y.Doc, transaction: Y.Transaction) => {
      if (origin === provider) return
      if (transaction.local) this.waiting += 1
      else this.at = null // from this browser's copy: the server may not have it
      this.changed.emit()
    })
    provider.on('open', () => {
      this.#sent = []
      this.#syncs = true
    })
    provider.on('unsyncedChanges', ({ number }: { number: number }) => this.#count(number))
  }

  get late(): number | null {
    const oldest = this.#sent[0]
    if (oldest === undefined) return null
    const missing = performance.now() - oldest
    return missing > LATE ? missing : null
  }

  probe(): void {
    // The provider has no question that it could ask without counting anew.
  }

  #count(number: number): void {
    const now = performance.now()
    while (this.#sent.length < number) this.#sent.push(now)
    for (const sent of this.#sent.splice(0, this.#sent.length - number)) this.roundTrip = now - sent
    if (number === 0) this.#allSaved()
    else if (!this.#syncs) this.waiting = Math.min(this.waiting, number)
    this.changed.emit()
  }

  #allSaved(): void {
    if (this.at === null || this.waiting > 0) this.at = new Date()
    this.waiting = 0
    this.#syncs = false
  }
}
