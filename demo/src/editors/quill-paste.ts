/** A paste of many lines goes into Quill a slice at a time: the page answers in between, says how far it is, and can be stopped. */

import { Delta, type Range } from 'quill'
import Clipboard from 'quill/modules/clipboard'
import type { UndoManager } from 'yjs'
import { h } from '../dom'
import { linesOf } from './quill-bulk'

/** Each slice also takes some time for each line that is there already. */
const LINES_IN_SLICE = 1_000

/** The pause between slices, in which the browser renders and takes input, in milliseconds. */
const PAUSE = 16

export class SlicedClipboard extends Clipboard {
  #manager: UndoManager | undefined
  #timeout = 0
  #running = new Set<AbortController>()

  /** Each paste is one step for undo. */
  undoneBy(manager: UndoManager): void {
    this.#manager = manager
    this.#timeout = manager.captureTimeout
  }

  /** Ends what is being pasted. Its lines so far stay. */
  stop(): void {
    for (const run of this.#running) run.abort()
  }

  override onPaste(range: Range, { text = '', html = '' }: { text?: string, html?: string }): void {
    const pasted = this.convert({ text: text.replace(/\r\n?/g, '\n'), html }, this.quill.getFormat(range.index))
    const [first = new Delta(), ...more] = slicesOf(pasted)
    if (more.length > 0) this.#manager?.stopCapturing()
    this.quill.updateContents(new Delta().retain(range.index).delete(range.length).concat(first), 'user')
    this.quill.setSelection(range.index + first.length(), 0, 'silent')
    this.quill.scrollSelectionIntoView()
    if (more.length > 0) void this.#goOn(range.index + first.length(), more, linesOf(pasted))
  }

  async #goOn(start: number, slices: Delta[], lines: number): Promise<void> {
    const run = new AbortController()
    const bar = progress(`Pasting ${lines.toLocaleString('en')} lines`, slices.length + 1, () => run.abort())
    this.quill.container.after(bar.element)
    this.#running.add(run)
    this.#setTimeout()
    await this.#insert(start, slices, run.signal, bar.show)
    this.#running.delete(run)
    this.#setTimeout()
    this.#manager?.stopCapturing()
    bar.element.remove()
    if (this.quill.hasFocus()) this.quill.scrollSelectionIntoView()
  }

  async #insert(start: number, slices: Delta[], stop: AbortSignal, show: (done: number) => void): Promise<void> {
    const { quill } = this
    let at = start
    let isSlice = false
    // Text that comes between two slices, at the place where the next one goes, stays behind the paste.
    const follow = (change: Delta): void => { at = change.transformPosition(at, !isSlice) }
    quill.on('text-change', follow)
    for (const [done, slice] of slices.entries()) {
      show(done + 1)
      do await new Promise(resolve => setTimeout(resolve, PAUSE))
      while (quill.composition.isComposing)
      if (stop.aborted) break
      const selection = quill.getSelection()
      const isBehind = selection !== null && selection.index >= at
      isSlice = true
      quill.updateContents(new Delta().retain(at).concat(slice), 'user')
      isSlice = false
      if (isBehind) quill.setSelection(selection.index + slice.length(), selection.length, 'silent')
    }
    quill.off('text-change', follow)
  }

  /** While something is being pasted, further changes belong to the same step, however long it takes. */
  #setTimeout(): void {
    if (this.#manager !== undefined) this.#manager.captureTimeout = this.#running.size > 0 ? Infinity : this.#timeout
  }
}

/** Parts of a text, each of which ends with a line. */
function slicesOf(contents: Delta): Delta[] {
  const slices: Delta[] = []
  let start = 0
  let offset = 0
  let lines = 0
  for (const { insert } of contents.ops) {
    const text = typeof insert === 'string' ? insert : ' '
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', end + 1)) {
      lines += 1
      if (lines % LINES_IN_SLICE !== 0) continue
      slices.push(contents.slice(start, offset + end + 1))
      start = offset + end + 1
    }
    offset += text.length
  }
  if (start < offset) slices.push(contents.slice(start))
  return slices
}

function progress(label: string, slices: number, stop: () => void): { element: HTMLElement, show: (done: number) => void } {
  const bar = h('progress', { max: String(slices), 'aria-label': label })
  const element = h('div', { class: 'pasting', role: 'status' }, h('span', {}, `${label}…`), bar, h('button', { type: 'button', onclick: stop }, 'Stop'))
  return { element, show: done => { bar.value = done } }
}
