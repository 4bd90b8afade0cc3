// A page in which lines of README run, as a process: `page.mjs FILE`, told over IPC to type and asked what it shows.

import { pathToFileURL } from 'node:url'
import { JSDOM } from 'jsdom'

const { window } = new JSDOM('<div id="editor"></div>', { url: 'http://localhost/', pretendToBeVisual: true })
window.Range.prototype.getClientRects = () => [] // nothing has a place, as in a window that is not shown
for (const name of Object.getOwnPropertyNames(window)) {
  if (!(name in globalThis)) Object.defineProperty(globalThis, name, { get: () => window[name], configurable: true })
}
Object.defineProperty(globalThis, 'navigator', { value: window.navigator, configurable: true })

await import(pathToFileURL(process.argv[2]))
const { EditorView } = await import('codemirror') // which looks at its browser when it is loaded

const page = window.document.querySelector('#editor')

/** Types at the end, into the editor that is there. */
function type (text) {
  const view = EditorView.findFromDOM(page)
  if (view !== null) return view.dispatch({ changes: { from: view.state.doc.length, insert: text } })
  const { state, dispatch } = window.document.querySelector('.ProseMirror').editor.view
  const end = state.selection.constructor.atEnd(state.doc).from
  dispatch(state.tr.insertText(text, end))
}

process.on('message', ({ typed }) => {
  if (typed !== undefined) type(typed)
  process.send({ shown: page.textContent })
})
process.send({ shown: page.textContent })
