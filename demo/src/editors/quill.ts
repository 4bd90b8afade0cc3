import Quill from 'quill'
import History from 'quill/modules/history'
import QuillCursors from 'quill-cursors'
import { QuillBinding } from 'y-quill'
import * as Y from 'yjs'
import { h } from '../dom'
import type { Mount } from './editor'
import { insertManyLinesAtOnce } from './quill-bulk'
import 'quill/dist/quill.snow.css'
import './quill.css'

/** Undo by Yjs instead of Quill: it undoes only edits of this person, wherever they are by now. */
class SharedHistory extends History {
  manager: Y.UndoManager | undefined
  override undo(): void { this.manager?.undo() }
  override redo(): void { this.manager?.redo() }
  override record(): void {}
}

Quill.register('modules/cursors', QuillCursors)
Quill.register('modules/history', SharedHistory, true)

export const mount: Mount = (parent, shared) => {
  const text = shared.doc.getText('quill')
  const element = h('div')
  parent.append(element)
  const quill = new Quill(element, {
    theme: 'snow',
    placeholder: 'Write something together…',
    modules: {
      cursors: { hideDelayMs: 1500, transformOnTextChange: true },
      toolbar: [[{ header: [1, 2, false] }], ['bold', 'italic', 'underline', 'strike'], [{ list: 'ordered' }, { list: 'bullet' }], ['blockquote', 'code-block', 'link'], ['clean']],
      // Tab leaves the editor, for those who have no mouse.
      keyboard: { bindings: { tab: null } },
    },
  })
  quill.root.setAttribute('aria-label', 'Rich text')
  insertManyLinesAtOnce(quill)
  const binding = new QuillBinding(text, quill, shared.awareness)
  const history = quill.getModule('history') as SharedHistory
  history.manager = new Y.UndoManager(text, { trackedOrigins: new Set([binding]) })
  return {
    focus: () => quill.focus(),
    left: () => {
      quill.blur()
      shared.awareness.setLocalStateField('cursor', null)
    },
  }
}
