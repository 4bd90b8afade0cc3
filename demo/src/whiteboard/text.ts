/** Ties a plain text field to a Y.Text. */

import type * as Y from 'yjs'
import { OWN } from './shapes'

export function bindText(field: HTMLTextAreaElement, text: Y.Text): void {
  field.value = text.toString()
  field.addEventListener('input', () => write(field, text))
  text.observe(event => {
    if (field.value !== text.toString()) show(field, text, event)
  })
}

/** Turns a change of the field into one deletion and one insertion. */
function write(field: HTMLTextAreaElement, text: Y.Text): void {
  const before = text.toString()
  const after = field.value
  const longest = Math.min(before.length, after.length)
  // Never past the cursor: among equal letters, it says which one was typed.
  const typed = Math.min(field.selectionStart, longest)
  let start = 0
  while (start < typed && before[start] === after[start]) start++
  let end = 0
  while (end < longest - start && before[before.length - 1 - end] === after[after.length - 1 - end]) end++
  text.doc?.transact(() => {
    text.delete(start, before.length - end - start)
    text.insert(start, after.slice(start, after.length - end))
  }, OWN)
}

/** Shows a change of others, and keeps the selection on the same letters. */
function show(field: HTMLTextAreaElement, text: Y.Text, event: Y.YTextEvent): void {
  let { selectionStart: start, selectionEnd: end } = field
  let index = 0
  for (const { insert, delete: deleted, retain } of event.delta) {
    if (retain !== undefined) index += retain
    if (typeof insert === 'string') {
      if (index <= start) start += insert.length
      if (index <= end) end += insert.length
      index += insert.length
    }
    if (deleted !== undefined) {
      start -= Math.min(deleted, Math.max(0, start - index))
      end -= Math.min(deleted, Math.max(0, end - index))
    }
  }
  field.value = text.toString()
  field.setSelectionRange(start, end)
}
