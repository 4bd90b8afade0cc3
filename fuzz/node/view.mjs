// The view of a document, as JSON (in the form that src/replica/view.rs describes): equal exactly when editors show the same.

import { isDeepStrictEqual } from 'node:util'
import * as Y from 'yjs'
import { ROOTS } from './edits.mjs'

/** The content of each root by its name. */
export function content (doc) {
  return {
    text: delta(ROOTS.text(doc)),
    map: entries(ROOTS.map(doc)),
    array: ROOTS.array(doc).toArray().map(value),
    xml: ROOTS.xml(doc).toArray().map(value)
  }
}

/** Chunks that differ in nothing are one: where a text is cut into blocks does not show. */
function delta (text) {
  const chunks = []
  for (const { insert, attributes = {} } of text.toDelta()) {
    const last = chunks.at(-1)
    if (typeof insert === 'string' && typeof last?.insert === 'string' && isDeepStrictEqual(last.attributes, attributes)) last.insert += insert
    else chunks.push({ insert: typeof insert === 'string' ? insert : value(insert), attributes })
  }
  return chunks.map(({ insert, attributes }) => Object.keys(attributes).length > 0 ? { insert, attributes: value(attributes) } : { insert })
}

function entries (map) {
  return Object.fromEntries([...map.keys()].sort().map(key => [key, value(map.get(key))]))
}

/** A value inside a document; also a whole shared type. */
export function value (of) {
  if (of instanceof Y.XmlText) return { $xmlText: delta(of) }
  if (of instanceof Y.Text) return { $text: delta(of) }
  if (of instanceof Y.Map) return entries(of)
  if (of instanceof Y.XmlElement) return { $element: { name: of.nodeName, attributes: value(of.getAttributes()), children: of.toArray().map(value) } }
  if (of instanceof Y.Array || of instanceof Y.XmlFragment) return of.toArray().map(value)
  if (of instanceof Y.Doc) return { $document: of.guid }
  if (of instanceof Uint8Array) return { $binary: [...of] }
  if (Array.isArray(of)) return of.map(value)
  if (typeof of === 'bigint') return Number(of)
  if (typeof of === 'object' && of !== null) return Object.fromEntries(Object.keys(of).sort().map(key => [key, value(of[key])]))
  return of ?? null
}
