import * as monaco from 'monaco-editor/esm/vs/editor/editor.api.js'
import { TabFocus } from 'monaco-editor/esm/vs/editor/browser/config/tabFocus.js'
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
import { h } from '../dom'
import { isDark, themeChanged } from '../theme'
import type { EditorDocument, Mount } from './editor'
import { Moving } from './flags'
import './monaco.css'

self.MonacoEnvironment = { getWorker: () => new EditorWorker() }

/** Comments are too dark in Monaco's own. */
const DARK = 'coscribe-dark'
monaco.editor.defineTheme(DARK, { base: 'vs-dark', inherit: true, rules: [{ token: 'comment', foreground: '7ea868' }], colors: {} })

export const mount: Mount = (parent, shared) => {
  const text = shared.doc.getText('monaco')
  const model = monaco.editor.createModel('', 'typescript')
  model.setEOL(monaco.editor.EndOfLineSequence.LF)
  const element = h('div', { class: 'code' })
  parent.append(element)
  const editor = monaco.editor.create(element, {
    model,
    ariaLabel: 'TypeScript',
    automaticLayout: true,
    fontSize: 14,
    minimap: { enabled: false },
    padding: { top: 22, bottom: 14 },
    placeholder: 'Type some TypeScript…',
    // Suggestions that open by themselves are words of the text here, and take the Enter of somebody who types on. Ctrl+Space opens them.
    quickSuggestions: false,
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
  parent.append(hint(editor))
  return {
    focus: () => editor.focus(),
    left: () => shared.awareness.setLocalStateField('selection', null),
  }
}

const theme = (): string => isDark() ? DARK : 'vs'

/** The keys that free Tab, below the editor and in its description: without them, the editor keeps people who have no mouse. */
function hint(editor: monaco.editor.IStandaloneCodeEditor): HTMLElement {
  const keys = /Mac|iP(hone|ad)/.test(navigator.platform) ? 'Ctrl+Shift+M' : 'Ctrl+M'
  const element = h('p', { class: 'hint', id: 'monaco-hint' })
  const render = (): void => {
    element.textContent = TabFocus.getTabFocusMode() ? `Tab leaves the editor; after ${keys}, it indents again.` : `Tab indents; after ${keys}, it leaves the editor.`
  }
  TabFocus.onDidChangeTabFocus(render)
  editor.getDomNode()?.querySelector('textarea, [role="textbox"]')?.setAttribute('aria-describedby', element.id)
  render()
  return element
}

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
  const moving = new Moving(shared)
  const render = (): void => {
    sheet.replaceSync('')
    for (const [client, { user }] of shared.others()) {
      const rule = sheet.cssRules[sheet.insertRule(`.yRemoteSelection-${client}, .yRemoteSelectionHead-${client} {}`)] as CSSStyleRule
      rule.style.setProperty('--person', user.color)
      // As a value that is set, not as text of a style sheet: nothing in a name can end the string and begin something else.
      rule.style.setProperty('--name', JSON.stringify(user.name))
      if (moving.has(client)) rule.style.setProperty('--shown', '1')
    }
  }
  moving.changed.listen(render)
  render()
}
