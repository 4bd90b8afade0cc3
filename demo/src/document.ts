/** One document of a room: shared through the server, kept in this browser. */

import { Awareness } from 'y-protocols/awareness'
import * as Y from 'yjs'
import type { Connect, Connection } from './connection/connection'
import { LocalCopy } from './local-copy'
import { distrust, type Person } from './person'

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
  readonly connection: Connection
  /** Whether the server's document was ever here, in this page or an earlier one of this browser. */
  isKnown = false
  #typing = 0

  constructor(connect: Connect, room: string, part: string, person: Person) {
    distrust(this.awareness, this.doc)
    this.connection = connect(room, part, this.doc, this.awareness)
    this.introduce(person)
    this.doc.on('update', (_update: Uint8Array, _origin: unknown, _doc: Y.Doc, transaction: Y.Transaction) => {
      if (transaction.local) this.#type()
    })
  }

  /** Takes in this browser's copy of the document, and keeps the copy up to date. Resolves to whether the browser can. */
  async open(name: string): Promise<boolean> {
    const copy = await LocalCopy.open(name, this.doc)
    const { connection } = this
    this.isKnown = await copy?.isComplete() === true
    connection.changed.listen(() => {
      if (connection.state.kind !== 'connected') return
      this.isKnown = true
      copy?.complete()
    })
    return copy !== null
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
