// The canonical view of a document: equal for two documents exactly when Yjs shows the same in both.
//
//   { "types":       { "<root name>": "text" | "map" | "array" | "xml", … },
//     "roots":       { "<root name>": <view>, … },
//     "stateVector": [[client, clock], …],
//     "deleteSet":   [[client, [[clock, length], …]], …] }
//
// Roots have no type in an update, so the caller names them. A text is its delta, a map and an array are what toJSON()
// gives, an XML fragment is { "string": toString(), "tree": its nodes }. What JSON has no word for is an object with one
// tag: {"$text": delta}, {"$xml": …}, {"$doc": {"guid": …}}, {"$binary": base64}, {"$bigint": digits}, {"$undefined": true},
// {"$number": "NaN" | "Infinity" | "-Infinity" | "-0"}. Keys, clients and ranges are sorted, and ranges that touch are one.

import * as Y from 'yjs'

/** A fresh document that took in the updates in their order, one transaction each. */
export function load (updates, { gc = true } = {}) {
  const doc = new Y.Doc({ gc })
  for (const update of updates) {
    doc.transact(transaction => {
      Y.applyUpdate(doc, update)
      // A remote transaction makes Yjs look for redundant formats and delete them, as an edit of its own. Which it finds depends
      // on how edits were grouped into updates; what the updates themselves say does not.
      transaction.local = true
    })
  }
  return doc
}

/** Whether the document still waits for blocks, or for the targets of deletions. */
export function isPending (doc) {
  return doc.store.pendingStructs !== null || doc.store.pendingDs !== null
}

/** The canonical view of `doc`, whose roots have the given types. */
export function canonical (doc, types) {
  const roots = {}
  for (const name of Object.keys(types).sort()) roots[name] = viewRoot(doc, name, types[name])
  return { types: sortKeys(types), roots, stateVector: stateVector(doc), deleteSet: deleteSet(doc) }
}

function viewRoot (doc, name, type) {
  switch (type) {
    case 'text': return viewDelta(doc.getText(name))
    case 'map': return viewMap(doc.getMap(name))
    case 'array': return doc.getArray(name).toArray().map(view)
    case 'xml': {
      const fragment = doc.getXmlFragment(name)
      return { string: fragment.toString(), tree: fragment.toArray().map(viewXml) }
    }
    default: throw new Error(`no such type of root: ${type}`)
  }
}

function view (value) {
  if (value instanceof Y.Text && !(value instanceof Y.XmlText)) return { $text: viewDelta(value) }
  if (value instanceof Y.XmlText || value instanceof Y.XmlFragment || value instanceof Y.XmlHook) return { $xml: viewXml(value) }
  if (value instanceof Y.Map) return viewMap(value)
  if (value instanceof Y.Array) return value.toArray().map(view)
  if (value instanceof Y.Doc) return { $doc: viewDoc(value) }
  return viewPlain(value)
}

function viewPlain (value) {
  switch (typeof value) {
    case 'undefined': return { $undefined: true }
    case 'bigint': return { $bigint: value.toString() }
    case 'number': return Number.isFinite(value) && !Object.is(value, -0) ? value : { $number: Object.is(value, -0) ? '-0' : String(value) }
    case 'object':
      if (value === null) return null
      if (value instanceof Uint8Array) return { $binary: Buffer.from(value).toString('base64') }
      if (Array.isArray(value)) return value.map(viewPlain)
      return sortKeys(value, viewPlain)
    default: return value
  }
}

function viewMap (map) {
  return sortKeys(Object.fromEntries(map.entries()), view)
}

function viewDelta (text) {
  return text.toDelta().map(({ insert, attributes }) =>
    attributes === undefined ? { insert: view(insert) } : { attributes: viewPlain(attributes), insert: view(insert) })
}

function viewXml (node) {
  if (node instanceof Y.XmlHook) return { hook: node.hookName, map: viewMap(node) }
  if (node instanceof Y.XmlText) return { text: viewDelta(node), attributes: sortKeys(node.getAttributes(), view) }
  if (node instanceof Y.XmlElement) {
    return { element: node.nodeName, attributes: sortKeys(node.getAttributes(), view), children: node.toArray().map(viewXml) }
  }
  if (node instanceof Y.XmlFragment) return { fragment: node.toArray().map(viewXml) }
  return view(node)
}

function viewDoc (doc) {
  return { guid: doc.guid, gc: doc.gc, autoLoad: doc.autoLoad, meta: viewPlain(doc.meta) }
}

function stateVector (doc) {
  return [...Y.decodeStateVector(Y.encodeStateVector(doc))].sort(([a], [b]) => a - b)
}

function deleteSet (doc) {
  const { clients } = Y.createDeleteSetFromStructStore(doc.store)
  return [...clients].sort(([a], [b]) => a - b).map(([client, ranges]) => [client, mergeRanges(ranges)])
}

function mergeRanges (ranges) {
  const merged = []
  for (const { clock, len } of [...ranges].sort((a, b) => a.clock - b.clock)) {
    const last = merged.at(-1)
    if (last !== undefined && clock <= last[0] + last[1]) last[1] = Math.max(last[1], clock + len - last[0])
    else merged.push([clock, len])
  }
  return merged
}

function sortKeys (object, viewValue = value => value) {
  // Not Object.fromEntries alone: keys that look like numbers come first in any object, in both documents alike.
  return Object.fromEntries(Object.keys(object).sort().map(key => [key, viewValue(object[key])]))
}
