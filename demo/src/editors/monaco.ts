import * as monaco from 'monaco-editor/esm/vs/editor/editor.api.js'
import 'monaco-editor/esm/vs/basic-languages/typescript/typescript.contribution.js'
import 'monaco-editor/esm/vs/editor/contrib/bracketMatching/browser/bracketMatching.js'
import 'monaco-editor/esm/vs/editor/contrib/caretOperations/browser/caretOperations.js'
import 'monaco-editor/esm/vs/editor/contrib/clipboard/browser/clipboard.js'
import 'monaco-editor/esm/vs/editor/contrib/comment/browser/comment.js'
import 'monaco-editor/esm/vs/editor/contrib/find/browser/findController.js'
import 'monaco-editor/esm/vs/editor/contrib/linesOperations/browser/linesOperations.js'
import 'monaco-editor/esm/vs/editor/contrib/multicursor/browser/multicursor.js'
import 'monaco-editor/esm/vs/editor/contrib/placeholderText/browser/placeholderText.contribution.js'
import 'monaco-editor/esm/vs/editor/contrib/toggleTabFocusMode/browser/toggleTabFocusMode.js'
import 'monaco-editor/esm/vs/editor/contrib/wordOperations/browser/wordOperations.js'
import EditorWorker from 'monaco-editor/esm/vs/editor/editor.worker.js?worker'
import { MonacoBinding } from 'y-monaco'
import * as Y from 'yjs'
import { isDark, themeChanged } from '../theme'
import type { EditorDocument, Mount } from './editor'
import './monaco.css'

self.MonacoEnvironment = { getWorker: () => new EditorWorker() }

export const mount: Mount = (parent, shared) => {
  const text = shared.doc.getText('monaco')
  const model = monaco.editor.createModel('', 'typescript')
  model.setEOL(monaco.editor.EndOfLineSequence.LF)
  const editor = monaco.editor.create(parent, {
    model,
    ariaLabel: 'TypeScript',
    automaticLayout: true,
    fontSize: 14,
    minimap: { enabled: false },
    padding: { top: 14, bottom: 14 },
    placeholder: 'Type some TypeScript…',
    scrollBeyondLastLine: false,
    theme: theme(),
    wordWrap: 'on',
  })
  themeChanged.listen(() => monaco.editor.setTheme(theme()))
  // With its EditContext the browser tells the editor alone that text is being composed.
  editor.onDidCompositionStart(() => parent.dispatchEvent(new CompositionEvent('compositionstart')))
  editor.onDidCompositionEnd(() => parent.dispatchEvent(new CompositionEvent('compositionend')))
  const binding = new MonacoBinding(text, model, new Set([editor]), shared.awareness)
  undoByYjs(editor, new Y.UndoManager(text, { trackedOrigins: new Set([binding]) }))
  colourSelections(shared)
  return {
    focus: () => editor.focus(),
    left: () => shared.awareness.setLocalStateField('selection', null),
  }
}

const theme = (): string => isDark() ? 'vs-dark' : 'vs'

/** Monaco's own undo knows offsets only, and what others have typed since has moved them. */
function undoByYjs(editor: monaco.editor.IStandaloneCodeEditor, manager: Y.UndoManager): void {
  const { KeyMod, KeyCode } = monaco
  const onKeys = (run: () => void, ...keys: number[]): void => {
    for (const key of keys) editor.addCommand(key, run)
  }
  onKeys(() => manager.undo(), KeyMod.CtrlCmd | KeyCode.KeyZ)
  onKeys(() => manager.redo(), KeyMod.CtrlCmd | KeyCode.KeyY, KeyMod.CtrlCmd | KeyMod.Shift | KeyCode.KeyZ)
}

/** y-monaco gives each selection a class with the client's id, and leaves colours and names to the page. */
function colourSelections(shared: EditorDocument): void {
  const sheet = new CSSStyleSheet()
  document.adoptedStyleSheets.push(sheet)
  const render = (): void => {
    sheet.replaceSync('')
    for (const [client, { user }] of shared.others()) {
      const rule = sheet.cssRules[sheet.insertRule(`.yRemoteSelection-${client}, .yRemoteSelectionHead-${client} {}`)] as CSSStyleRule
      rule.style.setProperty('--person', user.color)
      // As a value that is set, not as text of a style sheet: nothing in a name can end the string and begin something else.
      rule.style.setProperty('--name', JSON.stringify(user.name))
    }
  }
  shared.awareness.on('change', render)
  render()
}
