/** What each editor is to the page. */

import type { SharedDocument } from '../document'

export interface Editor {
  focus(): void
  /** The part of the document on the screen, for those who follow this page. */
  viewport?: Viewport
  /** Called when the person goes to another editor. */
  left?(): void
}

export interface Viewport {
  /** The element that scrolls. */
  element: HTMLElement
  /** The position at its top, as any JSON. */
  where(): unknown
  /** Scrolls to the position that another page's `where` gave. */
  show(where: unknown): void
}

/** A document as its editor has it. */
export interface EditorDocument extends Pick<SharedDocument, 'doc' | 'awareness' | 'show' | 'others'> {
  /** What becomes of text that was composed in a part of the document that others deleted meanwhile. */
  whenLost(restore: (text: string) => void): void
}

/** Puts an editor for a document into an element of the page. */
export type Mount = (parent: HTMLElement, shared: EditorDocument) => Editor
