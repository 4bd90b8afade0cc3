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

/**
 * How long edits of others wait for somebody who composes and does nothing, in milliseconds. On phones, a composition is open
 * as long as the caret stands in a word.
 */
const PATIENCE = 10_000

/** The code of keys that an input method takes; those of an EditContext do not say that they are of a composition. */
const OF_INPUT_METHOD = 229

/** A document for the editor in `element`. */
export function heldWhileComposing(element: HTMLElement, shared: SharedDocument): EditorDocument {
  const copy = new CopyOf(shared.doc)
  new Composition(element, copy)
  return {
    doc: copy.doc,
    awareness: shared.awareness,
    show: (field, value) => shared.show(field, value),
    others: () => shared.others(),
    whenLost: restore => { copy.whenLost = restore },
  }
}

class CopyOf {
  readonly doc = new Y.Doc()
  #isHeld = false
  #isBehind = false
  /** This client's clock when the others' edits began to wait. */
  #clock = 0
  /** Told what was composed in a part that others had deleted meanwhile. */
  whenLost: (text: string) => void = () => {}

  constructor(private readonly whole: Y.Doc) {
    // One client in the eyes of all others: only the copy writes.
    this.doc.clientID = whole.clientID
    this.#catchUp()
    whole.on('update', (update: Uint8Array, origin: unknown) => {
      if (origin === this) return
      if (this.#isHeld) this.#isBehind = true
      else Y.applyUpdate(this.doc, update, this)
    })
    this.doc.on('update', (update: Uint8Array, origin: unknown) => {
      if (origin !== this) this.#forward(update)
    })
  }

  /** Whether something waits. */
  get isBehind(): boolean { return this.#isBehind }

  hold(): void {
    if (!this.#isHeld) this.#clock = Y.getState(this.doc.store, this.doc.clientID)
    this.#isHeld = true
  }

  release(): void {
    this.#isHeld = false
    if (!this.#isBehind) return
    const written = this.#written()
    this.#catchUp()
    if (written !== '' && this.#written() === '') this.whenLost(written)
  }

  get #structs(): (Y.Item | Y.GC)[] { return this.doc.store.clients.get(this.doc.clientID) ?? [] }

  /** The text that this person has written since the others' edits wait, as far as it is still there. */
  #written(): string {
    const items = this.#structs.filter(item => item instanceof Y.Item && !item.deleted && item.id.clock >= this.#clock) as Y.Item[]
    return items.map(({ content }) => content instanceof Y.ContentString ? content.str : '').join('')
  }

  #catchUp(): void {
    this.#isBehind = false
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

/** Holds a copy while text is composed in its editor. */
class Composition {
  #isOpen = false
  #settling = 0
  #idle = 0

  constructor(private readonly element: HTMLElement, private readonly copy: CopyOf) {
    element.addEventListener('compositionstart', () => this.#begin(), { capture: true })
    element.addEventListener('compositionupdate', () => this.#wait(), { capture: true })
    element.addEventListener('compositionend', () => this.#end(), { capture: true })
    // Some browsers do not say that a composition ended because its element lost the focus or is gone.
    element.addEventListener('focusout', () => this.#end())
    element.addEventListener('keydown', event => this.#pressed(event), { capture: true })
    document.addEventListener('visibilitychange', () => { if (document.hidden) this.#commit() })
  }

  #begin(): void {
    clearTimeout(this.#settling)
    this.#isOpen = true
    this.copy.hold()
    this.#wait()
  }

  #end(): void {
    if (!this.#isOpen) return
    clearTimeout(this.#idle)
    clearTimeout(this.#settling)
    this.#settling = window.setTimeout(() => {
      this.#isOpen = false
      this.copy.release()
    }, SETTLING)
  }

  #pressed(event: KeyboardEvent): void {
    if (!this.#isOpen) return
    const forInputMethod = event.isComposing || event.keyCode === OF_INPUT_METHOD
    if (forInputMethod) this.#wait()
    else this.#end()
  }

  #wait(): void {
    clearTimeout(this.#idle)
    this.#idle = window.setTimeout(() => {
      if (this.copy.isBehind) this.#commit()?.focus({ preventScroll: true })
      else this.#wait()
    }, PATIENCE)
  }

  /** Makes the browser commit what is composed, by taking the focus away from the element that this returns. */
  #commit(): HTMLElement | null {
    const focused = document.activeElement
    if (!this.#isOpen || !(focused instanceof HTMLElement) || !this.element.contains(focused)) return null
    focused.blur()
    return focused
  }
}
