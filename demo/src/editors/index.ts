/** The editors of a room. Each has a document of its own, and is loaded when the person first goes to it. */

import type { Mount } from './editor'

export const EDITORS = [
  { id: 'codemirror', title: 'CodeMirror', about: 'Markdown in CodeMirror 6', load: () => import('./codemirror') },
  { id: 'tiptap', title: 'Tiptap', about: 'Rich text in Tiptap 3', load: () => import('./tiptap') },
  { id: 'quill', title: 'Quill', about: 'Rich text in Quill 2', load: () => import('./quill') },
  { id: 'monaco', title: 'Monaco', about: 'TypeScript in Monaco', load: () => import('./monaco') },
  { id: 'whiteboard', title: 'Whiteboard', about: 'Drawing on a Y.Map', load: () => import('./whiteboard') },
] as const satisfies readonly { id: string, title: string, about: string, load: () => Promise<{ mount: Mount }> }[]

export type EditorId = typeof EDITORS[number]['id']
