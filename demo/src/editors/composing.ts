/**
 * The others' edits wait while this person composes text by an input method. The browser then owns the text around the caret: an
 * editor that changes it ends the composition, or takes what is composed for something else (README.md has what each does).
 *
 * An editor is therefore bound to a copy of the shared document. Its own edits go on at once; what others write reaches the copy
 * when nothing is being composed. Both are documents of Yjs, which puts the edits of either side where they belong.
 */

import * as Y from 'yjs'
import type { SharedDocument } from '../document'
import type { EditorDocument } from './editor'

/** How long editors go on with a composition after the browser has ended it, in milliseconds: CodeMirror has a timer of 50. */
const SETTLING = 100

/** A document for the editor in `element`. */
export function heldWhileComposing(element: HTMLElement, shared: SharedDocument): EditorDocument {
  const copy = new CopyOf(shared.doc)
  watch(element, composing => { if (composing) copy.hold(); else copy.release() })
  return {
    doc: copy.doc,
    awareness: shared.awareness,
    show: (field, value) => shared.show(field, value),
    others: () => shared.others(),
  }
}

class CopyOf {
  readonly doc = new Y.Doc()
  #isHeld = false

  constructor(private readonly whole: Y.Doc) {
    // One client in the eyes of all others: only the copy writes.
    this.doc.clientID = whole.clientID
    this.#catchUp()
    whole.on('update', (update: Uint8Array, origin: unknown) => {
      if (origin !== this && !this.#isHeld) Y.applyUpdate(this.doc, update, this)
    })
    this.doc.on('update', (update: Uint8Array, origin: unknown) => {
      if (origin !== this) this.#forward(update)
    })
  }

  hold(): void {
    this.#isHeld = true
  }

  release(): void {
    this.#isHeld = false
    this.#catchUp()
  }

  #catchUp(): void {
    Y.applyUpdate(this.doc, Y.encodeStateAsUpdate(this.whole, Y.encodeStateVector(this.doc)), this)
  }

  #forward(update: Uint8Array): void {
    this.whole.transact(transaction => {
      Y.applyUpdate(this.whole, update, this)
      // It is this person's edit, though it came as an update: it counts as unsaved, and the client keeps its id.
      transaction.local = true
    }, this)
  }
}

/** Tells when a composition begins in an element, and when it is over. */
function watch(element: HTMLElement, changed: (composing: boolean) => void): void {
  let isComposing = false
  let settling = 0
  const begin = (): void => {
    clearTimeout(settling)
    isComposing = true
    changed(true)
  }
  const end = (): void => {
    if (!isComposing) return
    clearTimeout(settling)
    settling = window.setTimeout(() => {
      isComposing = false
      changed(false)
    }, SETTLING)
  }
  element.addEventListener('compositionstart', begin, { capture: true })
  element.addEventListener('compositionend', end, { capture: true })
  // Some browsers do not say that a composition ended when its element lost the focus or is gone.
  element.addEventListener('focusout', end)
  element.addEventListener('keydown', event => { if (!event.isComposing) end() }, { capture: true })
  document.addEventListener('visibilitychange', () => {
    const focused = document.activeElement
    // Without the focus, the browser commits what is composed, so that nothing is in the way of what others write.
    if (document.hidden && isComposing && focused instanceof HTMLElement && element.contains(focused)) focused.blur()
  })
}
