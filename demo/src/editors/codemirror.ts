import { closeBrackets, closeBracketsKeymap } from '@codemirror/autocomplete'
import { defaultKeymap } from '@codemirror/commands'
import { bracketMatching, defineLanguageFacet, Language, syntaxHighlighting } from '@codemirror/language'
import { highlightSelectionMatches, searchKeymap } from '@codemirror/search'
import { EditorState } from '@codemirror/state'
import {
  drawSelection, dropCursor, EditorView, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers, placeholder, rectangularSelection,
} from '@codemirror/view'
import { classHighlighter } from '@lezer/highlight'
import { GFM, parser } from '@lezer/markdown'
import { yCollab, yUndoManagerKeymap } from 'y-codemirror.next'
import type * as Y from 'yjs'
import type { Mount, Viewport } from './editor'
import { showFlags } from './flags'
import { fromShare, toShare } from './position'
import './codemirror.css'

/** @codemirror/lang-markdown would bring HTML, CSS and JavaScript along, which is most of its size. */
const markdown = new Language(defineLanguageFacet(), parser.configure(GFM), [], 'markdown')

export const mount: Mount = (parent, shared) => {
  const text = shared.doc.getText('codemirror')
  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: text.toString(),
      extensions: [
        // CodeMirror's own history is left out: it would undo what others have typed.
        keymap.of([...yUndoManagerKeymap, ...closeBracketsKeymap, ...searchKeymap, ...defaultKeymap]),
        lineNumbers(), highlightActiveLineGutter(), highlightActiveLine(), drawSelection(), dropCursor(), rectangularSelection(),
        bracketMatching(), closeBrackets(), highlightSelectionMatches(),
        EditorState.allowMultipleSelections.of(true), EditorView.lineWrapping, EditorView.contentAttributes.of({ 'aria-label': 'Markdown', tabindex: '0' }),
        markdown, syntaxHighlighting(classHighlighter),
        placeholder('Type some Markdown, and watch it appear in the other window…'),
        yCollab(text, shared.awareness),
      ],
    }),
  })
  showFlags(parent, shared, '.cm-ySelectionInfo')
  return {
    focus: () => view.focus(),
    left: () => shared.awareness.setLocalStateField('cursor', null),
    viewport: viewport(view, text),
  }
}

function viewport(view: EditorView, text: Y.Text): Viewport {
  const element = view.scrollDOM
  return {
    element,
    where() {
      const line = view.lineBlockAtHeight(element.scrollTop - view.documentPadding.top)
      return toShare(text, { index: line.from, offset: Math.max(0, element.scrollTop - view.documentPadding.top - line.top) / line.height })
    },
    show(where) {
      const position = fromShare(where, text)
      if (position === null || position.index > view.state.doc.length) return
      const line = view.lineBlockAt(position.index)
      const isStart = position.index === 0 && position.offset === 0
      element.scrollTop = isStart ? 0 : line.top + view.documentPadding.top + position.offset * line.height
    },
  }
}
