/** The editors of a room. Each has a document of its own, and is loaded when somebody first goes to it. */

import type { SharedDocument } from '../document'

export interface Editor {
  focus(): void
  /** For following somebody: what part of the document is on the screen. */
  viewport?: Viewport
  /** The person has gone to another editor. */
  left?(): void
}

export interface Viewport {
  /** What scrolls. */
  element: HTMLElement
  /** What is at its top; any JSON. */
  where(): unknown
  /** Scrolls to what somebody else's `where` gave. */
  show(where: unknown): void
}

/** Puts an editor for a document into an element of the page. */
export type Mount = (parent: HTMLElement, shared: SharedDocument) => Editor

export const EDITORS = [
  { id: 'codemirror', title: 'CodeMirror', about: 'Markdown in CodeMirror 6', load: () => import('./codemirror') },
  { id: 'tiptap', title: 'Tiptap', about: 'Rich text in Tiptap 3', load: () => import('./tiptap') },
  { id: 'quill', title: 'Quill', about: 'Rich text in Quill 2', load: () => import('./quill') },
  { id: 'monaco', title: 'Monaco', about: 'TypeScript in Monaco', load: () => import('./monaco') },
  { id: 'whiteboard', title: 'Whiteboard', about: 'Drawing on a Y.Map', load: () => import('./whiteboard') },
] as const satisfies readonly { id: string, title: string, about: string, load: () => Promise<{ mount: Mount }> }[]

export type EditorId = typeof EDITORS[number]['id']
