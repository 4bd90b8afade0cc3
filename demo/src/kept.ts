/**
 * A document in this browser. y-indexeddb writes each update in a transaction of its own, and a page that is left aborts those
 * under way: what is not known to be written by then goes into the local storage, which is written at once.
 */

import * as buffer from 'lib0/buffer'
import { IndexeddbPersistence } from 'y-indexeddb'
import * as Y from 'yjs'

/** How long to wait for what this browser has kept, before going on without it. */
const OPENING = 3_000

const UPDATES = 'updates'
const LEFT_BEHIND = 'coscribe.left/'

export class Kept {
  /** Made by this page and not known to be in the database yet. */
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

  /** Takes in what this browser has of a document, and keeps what changes from then on. Resolves to whether it can. */
  static async open(name: string, doc: Y.Doc): Promise<boolean> {
    if (!await canKeep()) return false
    const kept = new Kept(name, doc)
    return await Promise.race([
      kept.#database.whenSynced.then(() => kept.#takeIn(doc)),
      new Promise<boolean>(resolve => setTimeout(() => resolve(false), OPENING)),
    ])
  }

  /** A transaction that reads is over when those that wrote before it are. */
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
    // Of this moment, as the page may come back and be left again, and other windows leave things, too.
    localStorage.setItem(`${LEFT_BEHIND}${this.name}/${Date.now()}-${Math.random()}`, update)
    this.#unwritten = []
  }

  /** What pages left behind. From here on it is unwritten again, and left behind again if this page is gone too soon. */
  #takeIn(doc: Y.Doc): boolean {
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
    return true
  }
}

/** Some browsers have no IndexedDB in private windows, and y-indexeddb would wait for ever. */
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
