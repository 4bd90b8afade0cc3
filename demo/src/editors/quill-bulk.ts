/**
 * Large pastes, which Quill inserts line by line, each found from the start of the document: 12,500 lines take a minute, at the
 * person who pastes and at all who watch. `insertContents`, by which Quill fills an empty editor, makes all lines in one pass.
 */

import Quill, { Delta, Op } from 'quill'
import Editor from 'quill/core/editor'

/** From how many lines on text is inserted in one pass. */
const MANY_LINES = 50

export function insertManyLinesAtOnce(quill: Quill): void {
  quill.editor = new BulkEditor(quill.scroll)
}

/** Text that is inserted at a place of the document that it makes. */
interface Run { index: number, contents: Delta }

class BulkEditor extends Editor {
  override applyDelta(delta: Delta): Delta {
    const { runs, rest } = withoutLongRuns(delta)
    if (runs.length === 0) return super.applyDelta(delta)
    const change = rest.ops.length === 0 ? rest : super.applyDelta(rest)
    return runs.reduce((change, { index, contents }) => change.compose(this.insertContents(index, contents)), change)
  }
}

/** Takes long runs of text out of a delta. */
function withoutLongRuns(delta: Delta): { runs: Run[], rest: Delta } {
  const runs: Run[] = []
  const rest = new Delta()
  let index = 0
  let texts: Op[] = []
  const endRun = (): void => {
    const contents = new Delta(texts.map(inserted))
    if (linesOf(contents) >= MANY_LINES) runs.push({ index, contents })
    else for (const op of texts) rest.push(op)
    index += contents.length()
    texts = []
  }
  for (const op of delta.ops) {
    if (typeof op.insert === 'string') {
      texts.push(op)
      continue
    }
    endRun()
    rest.push(op)
    if (op.delete === undefined) index += Op.length(op)
  }
  endRun()
  return { runs, rest }
}

/** How many line ends there are in what is inserted. */
export function linesOf(contents: Delta): number {
  return contents.reduce((lines, { insert }) => typeof insert === 'string' ? lines + insert.split('\n').length - 1 : lines, 0)
}

/** A text as `insertContents` takes it: a format that is absent has no name there, and lines end as Quill ends them. */
function inserted({ insert, attributes = {} }: Op): Op {
  const present = Object.entries(attributes).filter(([, value]) => value !== null && value !== false)
  const text = String(insert).replace(/\r\n?/g, '\n')
  return present.length === 0 ? { insert: text } : { insert: text, attributes: Object.fromEntries(present) }
}
