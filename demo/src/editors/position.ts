/** Scroll positions as they are told to other pages: an element of a shared type, and how much of it is above the edge. */

import * as Y from 'yjs'

type Shareable = Y.Text | Y.XmlFragment

export interface Position {
  index: number
  /** Part of the element's height that is above the edge. */
  offset: number
}

export function toShare(type: Shareable, { index, offset }: Position): unknown {
  return { at: Y.relativePositionToJSON(Y.createRelativePositionFromTypeIndex(type, index)), offset }
}

/** Null if it cannot be shown: others may send anything. */
export function fromShare(shared: unknown, type: Shareable): Position | null {
  if (typeof shared !== 'object' || shared === null || type.doc === null) return null
  const { at, offset } = shared as Record<string, unknown>
  if (typeof offset !== 'number' || !Number.isFinite(offset)) return null
  try {
    const place = Y.createAbsolutePositionFromRelativePosition(Y.createRelativePositionFromJSON(at), type.doc)
    return place?.type === type ? { index: place.index, offset: Math.min(Math.max(offset, 0), 1) } : null
  } catch {
    return null
  }
}
