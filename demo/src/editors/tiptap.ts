import { Editor as Tiptap } from '@tiptap/core'
import Collaboration from '@tiptap/extension-collaboration'
import CollaborationCaret from '@tiptap/extension-collaboration-caret'
import { Placeholder } from '@tiptap/extensions'
import StarterKit from '@tiptap/starter-kit'
import type * as Y from 'yjs'
import { h } from '../dom'
import type { Mount, Viewport } from './editor'
import { showFlags } from './flags'
import { fromShare, toShare } from './position'
import './tiptap.css'

const FIELD = 'tiptap'

export const mount: Mount = (parent, shared) => {
  // The focus stays in the text when a button is clicked.
  const bar = h('div', { class: 'toolbar', role: 'toolbar', 'aria-label': 'Formatting', onmousedown: (event: Event) => event.preventDefault() })
  const scroller = h('div', { class: 'scroller' })
  parent.append(bar, scroller)
  const editor = new Tiptap({
    element: scroller,
    injectCSS: false,
    editorProps: { attributes: { 'aria-label': 'Rich text', role: 'textbox', 'aria-multiline': 'true' } },
    extensions: [
      // Its history would undo what others have typed; Collaboration brings one that does not.
      StarterKit.configure({ undoRedo: false, link: { openOnClick: false } }),
      Placeholder.configure({ placeholder: 'Write something together…' }),
      Collaboration.configure({ document: shared.doc, field: FIELD }),
      CollaborationCaret.configure({ provider: { awareness: shared.awareness }, user: shared.awareness.getLocalState()?.['user'] }),
    ],
  })
  fill(bar, editor)
  showFlags(parent, shared, '.collaboration-carets__label')
  // A paragraph takes with it what is composed in it.
  shared.whenLost(text => editor.view.dispatch(editor.state.tr.insertText(text)))
  return {
    focus: () => { editor.commands.focus() },
    left: () => shared.awareness.setLocalStateField('cursor', null),
    viewport: viewport(scroller, editor, shared.doc.getXmlFragment(FIELD)),
  }
}

/** Fills the toolbar with buttons; those whose format is in force at the cursor are pressed. */
function fill(bar: HTMLElement, editor: Tiptap): void {
  const act = (): ReturnType<Tiptap['chain']> => editor.chain().focus()
  const buttons = [
    { label: 'B', title: 'Bold', run: () => act().toggleBold().run(), is: () => editor.isActive('bold') },
    { label: 'I', title: 'Italic', run: () => act().toggleItalic().run(), is: () => editor.isActive('italic') },
    { label: 'S', title: 'Strike', run: () => act().toggleStrike().run(), is: () => editor.isActive('strike') },
    { label: 'H1', title: 'Heading, H1', run: () => act().toggleHeading({ level: 1 }).run(), is: () => editor.isActive('heading', { level: 1 }) },
    { label: 'H2', title: 'Smaller heading, H2', run: () => act().toggleHeading({ level: 2 }).run(), is: () => editor.isActive('heading', { level: 2 }) },
    { label: '•', title: 'List', run: () => act().toggleBulletList().run(), is: () => editor.isActive('bulletList') },
    { label: '1.', title: 'Numbered list, 1.', run: () => act().toggleOrderedList().run(), is: () => editor.isActive('orderedList') },
    { label: '❝', title: 'Quote', run: () => act().toggleBlockquote().run(), is: () => editor.isActive('blockquote') },
    { label: '</>', title: 'Code', run: () => act().toggleCodeBlock().run(), is: () => editor.isActive('codeBlock') },
    { label: '↶', title: 'Undo', run: () => act().undo().run(), is: () => null },
    { label: '↷', title: 'Redo', run: () => act().redo().run(), is: () => null },
  ].map(button => ({ ...button, element: h('button', { type: 'button', title: button.title, 'aria-label': button.title, onclick: button.run }, button.label) }))
  bar.append(...buttons.map(({ element }) => element))
  editor.on('transaction', () => {
    for (const { element, is } of buttons) {
      const pressed = is()
      if (pressed !== null) element.setAttribute('aria-pressed', String(pressed))
    }
  })
}

function viewport(element: HTMLElement, editor: Tiptap, fragment: Y.XmlFragment): Viewport {
  /** The blocks of the document on the page, in order. */
  const blocks = (): DOMRect[] => {
    const blocks: DOMRect[] = []
    editor.state.doc.forEach((_node, offset) => {
      const block = editor.view.nodeDOM(offset)
      if (block instanceof HTMLElement) blocks.push(block.getBoundingClientRect())
    })
    return blocks
  }
  return {
    element,
    where() {
      const top = element.getBoundingClientRect().top
      const all = blocks()
      const index = Math.max(0, all.findIndex(({ bottom }) => bottom > top))
      const block = all[index]
      return toShare(fragment, { index, offset: block === undefined ? 0 : Math.max(0, top - block.top) / (block.height || 1) })
    },
    show(where) {
      const position = fromShare(where, fragment)
      const block = position === null ? undefined : blocks()[position.index]
      if (position === null || block === undefined) return
      const isStart = position.index === 0 && position.offset === 0
      const top = block.top - element.getBoundingClientRect().top + position.offset * block.height
      element.scrollTop = isStart ? 0 : element.scrollTop + top
    },
  }
}
