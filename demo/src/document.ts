/** One document of a room: shared through the server, kept in this browser. */

import { Awareness } from 'y-protocols/awareness'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { Connection } from './connection'
import { LocalCopy } from './local-copy'
import { distrust, type Person } from './person'
import { documentPath } from './room-name'
import { Saved } from './saved'
import { Traffic } from './traffic'

/** How long a person counts as typing after a change, in milliseconds. */
const TYPING = 1_500

/** An awareness state: the fields that this page uses; bindings have further fields. */
export interface Shown {
  user: Person
  typing?: boolean
  viewport?: unknown
  pointer?: unknown
  editor?: unknown
}

export class SharedDocument {
  readonly doc = new Y.Doc()
  readonly awareness = new Awareness(this.doc)
  readonly traffic = new Traffic()
  readonly provider: WebsocketProvider
  readonly connection: Connection
  readonly saved: Saved
  #typing = 0

  constructor(room: string, part: string, person: Person, token: string | null) {
    distrust(this.awareness, this.doc)
    this.provider = new WebsocketProvider(location.origin.replace(/^http/, 'ws'), documentPath(room, part), this.doc, {
      awareness: this.awareness,
      connect: false,
      // Two windows of one browser would go on talking to each other when the connection is cut.
      disableBc: true,
      params: token === null ? {} : { token },
      WebSocketPolyfill: this.traffic.socket(),
    })
    this.connection = new Connection(this.provider)
    this.saved = new Saved(this.provider, this.doc)
    this.introduce(person)
    this.doc.on('update', (_update: Uint8Array, _origin: unknown, _doc: Y.Doc, transaction: Y.Transaction) => {
      if (transaction.local) this.#type()
    })
  }

  /** Takes in this browser's copy of the document, and keeps the copy up to date. Resolves to whether the browser can. */
  async open(name: string): Promise<boolean> {
    return await LocalCopy.open(name, this.doc)
  }

  introduce(person: Person): void {
    this.show('user', person)
  }

  /** Sets a field of this page's awareness state. */
  show<Field extends keyof Shown>(field: Field, value: Shown[Field]): void {
    this.awareness.setLocalStateField(field, value)
  }

  /** The others in this document, by client id. */
  others(): Map<number, Shown> {
    const others = new Map(this.awareness.getStates() as Map<number, Shown>)
    others.delete(this.doc.clientID)
    return others
  }

  #type(): void {
    if (this.#typing === 0) this.show('typing', true)
    clearTimeout(this.#typing)
    this.#typing = window.setTimeout(() => {
      this.#typing = 0
      this.show('typing', false)
    }, TYPING)
  }
}
