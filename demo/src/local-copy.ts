/**
 * The copy of a document in this browser. y-indexeddb writes each update in a transaction of its own, and leaving the page aborts
 * the transactions under way. Updates that may be unwritten by then go into the local storage, which writes at once.
 */

import * as buffer from 'lib0/buffer'
import { IndexeddbPersistence } from 'y-indexeddb'
import * as Y from 'yjs'

/** How long the page waits for the copy before it goes on without, in milliseconds. */
const OPENING = 3_000

const UPDATES = 'updates'
const COMPLETE = 'complete'
const LEFT_BEHIND = 'coscribe.left/'

export class LocalCopy {
  /** Updates of this page that may not be in the database yet. */
  #unwritten: Uint8Array[] = []
  #asking = false
  #database: IndexeddbPersistence

  private constructor(private readonly name: string, doc: Y.Doc) {
    this.#database = new IndexeddbPersistence(name, doc)
    doc.on('update', (update: Uint8Array, origin: unknown, _doc: Y.Doc, transaction: Y.Transaction) => {
      if (!transaction.local && origin !== this) return
      this.#unwritten.push(update)
      this.#ask()
    })
    addEventListener('pagehide', () => this.#leave())
  }

  /** Puts the copy into a document, and keeps it up to date from then on. Resolves to null if this browser cannot keep one. */
  static async open(name: string, doc: Y.Doc): Promise<LocalCopy | null> {
    if (!await canKeep()) return null
    const copy = new LocalCopy(name, doc)
    return await Promise.race([
      copy.#database.whenSynced.then(() => copy.#takeIn(doc)),
      new Promise<null>(resolve => setTimeout(() => resolve(null), OPENING)),
    ])
  }

  /** Whether the server's document was ever in it: an empty one looks like one that is not known. */
  async isComplete(): Promise<boolean> {
    return await this.#database.get(COMPLETE) !== undefined
  }

  /** The document has come from the server. */
  complete(): void {
    void this.#database.set(COMPLETE, 1)
  }

  /** A transaction that reads ends after all earlier ones that write: then their updates are in the database. */
  #ask(): void {
    const { db } = this.#database
    if (db === null || this.#asking) return
    this.#asking = true
    const asked = this.#unwritten.length
    const transaction = db.transaction(UPDATES, 'readonly')
    transaction.objectStore(UPDATES).count()
    transaction.onabort = () => { this.#asking = false }
    transaction.oncomplete = () => {
      this.#asking = false
      this.#unwritten.splice(0, asked)
      if (this.#unwritten.length > 0) this.#ask()
    }
  }

  #leave(): void {
    if (this.#unwritten.length === 0) return
    const update = buffer.toBase64(Y.mergeUpdates(this.#unwritten))
    // The key has the time and a random number: the page may come back and be left again, and other windows leave updates, too.
    localStorage.setItem(`${LEFT_BEHIND}${this.name}/${Date.now()}-${Math.random()}`, update)
    this.#unwritten = []
  }

  /** Takes in the updates that pages left behind. They count as unwritten again, and are left behind again if this page is gone too soon. */
  #takeIn(doc: Y.Doc): this {
    const prefix = `${LEFT_BEHIND}${this.name}/`
    for (const key of Object.keys(localStorage).filter(key => key.startsWith(prefix))) {
      try {
        Y.applyUpdate(doc, buffer.fromBase64(localStorage.getItem(key) ?? ''), this)
      } catch (error) {
        console.warn('left behind, but unreadable:', key, error)
      }
      localStorage.removeItem(key)
    }
    this.#ask()
    return this
  }
}

/** Some browsers have no IndexedDB in private windows, where y-indexeddb would wait for ever. */
async function canKeep(): Promise<boolean> {
  return await new Promise(resolve => {
    try {
      const request = indexedDB.open('coscribe')
      request.onerror = () => resolve(false)
      request.onsuccess = () => {
        request.result.close()
        resolve(true)
      }
    } catch {
      resolve(false)
    }
  })
}
