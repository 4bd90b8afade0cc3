import Quill from 'quill'
import History from 'quill/modules/history'
import QuillCursors from 'quill-cursors'
import { QuillBinding } from 'y-quill'
import * as Y from 'yjs'
import { h } from '../dom'
import type { Mount } from './editor'
import { showFlags } from './flags'
import { insertManyLinesAtOnce } from './quill-bulk'
import { SlicedClipboard } from './quill-paste'
import 'quill/dist/quill.snow.css'
import './quill.css'

/** Undo by Yjs instead of Quill: it undoes only edits of this person, wherever they are by now. */
class SharedHistory extends History {
  step: ((step: 'undo' | 'redo') => void) | undefined
  override undo(): void { this.step?.('undo') }
  override redo(): void { this.step?.('redo') }
  override record(): void {}
}

Quill.register('modules/cursors', QuillCursors)
Quill.register('modules/history', SharedHistory, true)
Quill.register('modules/clipboard', SlicedClipboard, true)

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
  for (const [name, value] of Object.entries({ role: 'textbox', 'aria-multiline': 'true', 'aria-label': 'Rich text' })) quill.root.setAttribute(name, value)
  namePicker(parent)
  insertManyLinesAtOnce(quill)
  const binding = new QuillBinding(text, quill, shared.awareness)
  const manager = new Y.UndoManager(text, { trackedOrigins: new Set([binding]) })
  const clipboard = quill.getModule('clipboard') as SlicedClipboard
  clipboard.undoneBy(manager)
  const history = quill.getModule('history') as SharedHistory
  showFlags(parent, shared, '.ql-cursor-flag')
  history.step = step => {
    clipboard.stop()
    manager[step]()
  }
  return {
    focus: () => quill.focus(),
    left: () => {
      quill.blur()
      shared.awareness.setLocalStateField('cursor', null)
    },
  }
}

/** Quill writes the choices of a picker by its style sheet, where screen readers find no name. */
function namePicker(parent: HTMLElement): void {
  parent.querySelector('.ql-picker-label')?.setAttribute('aria-label', 'Heading or normal text')
  for (const item of parent.querySelectorAll<HTMLElement>('.ql-picker-item')) {
    const level = item.dataset['value']
    item.setAttribute('aria-label', level === undefined ? 'Normal text' : `Heading ${level}`)
  }
}
