// Random edits of every kind of content that Yjs has.

import * as prng from 'lib0/prng'
import * as Y from 'yjs'

/** The roots that random edits touch. Two of each kind of list, as concurrent edits of one and the same are what matters. */
export const TYPES = { text: 'text', map: 'map', array: 'array', xml: 'xml', 'ü😀 ': 'text', '': 'map' }

/** One random edit of a root or of something nested in it, as one transaction. With `cutPairs` also between surrogates. */
export function randomEdit (gen, doc, types, cutPairs) {
  const names = Object.keys(types)
  const name = prng.oneOf(gen, names)
  const target = descend(gen, root(doc, name, types[name]))
  doc.transact(() => {
    const edits = prng.int32(gen, 0, 9) === 0 ? 5 : 1
    for (let i = 0; i < edits; i++) edit(gen, target, cutPairs)
  })
}

function root (doc, name, type) {
  switch (type) {
    case 'text': return doc.getText(name)
    case 'map': return doc.getMap(name)
    case 'array': return doc.getArray(name)
    default: return doc.getXmlFragment(name)
  }
}

/** The type itself, or one of those nested in it, at any depth. */
function descend (gen, type) {
  const nested = children(type)
  return nested.length > 0 && prng.int32(gen, 0, 2) > 0 ? descend(gen, prng.oneOf(gen, nested)) : type
}

function children (type) {
  let values = []
  if (type instanceof Y.Map) values = [...type.values()]
  else if (type instanceof Y.Text) values = type.toDelta().map(({ insert }) => insert)
  else values = type.toArray()
  return values.filter(value => value instanceof Y.AbstractType)
}

function edit (gen, type, cutPairs) {
  if (type instanceof Y.Text) editText(gen, type, cutPairs)
  else if (type instanceof Y.Map) editMap(gen, type)
  else if (type instanceof Y.Array) editArray(gen, type)
  else editXml(gen, type)
}

function editText (gen, text, cutPairs) {
  const units = cutPairs ? null : utf16Units(text)
  const index = boundary(units, prng.int32(gen, 0, text.length))
  const length = boundary(units, prng.int32(gen, index, Math.min(index + 6, text.length))) - index
  switch (prng.int32(gen, 0, 11)) {
    case 0: case 1: case 2: case 3: case 4: return text.insert(index, randomString(gen))
    case 5: return text.insert(index, randomString(gen), randomFormat(gen))
    case 6: case 7: return text.delete(index, length)
    case 8: return text.format(index, length, randomFormat(gen))
    case 9: return text.insertEmbed(index, prng.bool(gen) ? { image: prng.word(gen, 1, 8), width: prng.int32(gen, 0, 999) } : prng.word(gen, 1, 4))
    case 10: {
      const cut = length > 0 ? [{ delete: length }] : [] // Yjs fails on a deletion of nothing in an empty text
      return text.applyDelta([{ retain: index }, { insert: '' }, ...cut, { insert: randomString(gen), attributes: { bold: true } }])
    }
    default: return prng.int32(gen, 0, 3) === 0 ? text.insertEmbed(index, randomType(gen)) : text.insert(index, '\n')
  }
}

/** The text with one unit for each embed. */
function utf16Units (text) {
  return text.toDelta().map(({ insert }) => typeof insert === 'string' ? insert : '-').join('')
}

/** The position itself, or the one before where it would cut a surrogate pair. */
function boundary (units, index) {
  return units !== null && /[\udc00-\udfff]/.test(units.charAt(index)) ? index - 1 : index
}

function editMap (gen, map) {
  const key = prng.oneOf(gen, ['a', 'b', 'ключ', '', prng.word(gen, 1, 3)])
  switch (prng.int32(gen, 0, 9)) {
    case 0: case 1: return map.delete(key)
    case 2: return map.set(key, randomType(gen))
    case 3: return map.set(key, randomDoc(gen))
    case 4: return map.set(key, prng.uint8Array(gen, prng.int32(gen, 0, 20)))
    case 5: return map.set(key, BigInt(prng.int53(gen, -(2 ** 53), 2 ** 53)) * 1000n)
    default: return map.set(key, randomPlain(gen, 3))
  }
}

function editArray (gen, array) {
  const index = prng.int32(gen, 0, array.length)
  switch (prng.int32(gen, 0, 10)) {
    case 0: case 1: case 2: return array.delete(index, prng.int32(gen, 0, Math.min(4, array.length - index)))
    case 3: return array.insert(index, [randomType(gen)])
    case 4: return array.insert(index, [randomDoc(gen)])
    case 5: return array.insert(index, [prng.uint8Array(gen, prng.int32(gen, 0, 20))])
    case 6: return insertOldJson(array, index, [randomJson(gen), undefined, randomJson(gen)])
    default: return array.insert(index, many(gen, 4, () => listable(randomPlain(gen, 3))))
  }
}

function editXml (gen, xml) {
  const index = prng.int32(gen, 0, xml.length)
  const action = prng.int32(gen, 0, 9)
  if (action < 2) return xml.delete(index, prng.int32(gen, 0, Math.min(3, xml.length - index)))
  if (action < 5 && xml instanceof Y.XmlElement) {
    const name = prng.oneOf(gen, ['class', 'href', 'ü'])
    return action === 2 ? xml.removeAttribute(name) : xml.setAttribute(name, prng.bool(gen) ? prng.word(gen, 0, 8) : randomPlain(gen, 2))
  }
  return xml.insert(index, [randomXml(gen)])
}

/** What Yjs before 13 stored for plain values in lists, and still reads: ContentJSON. */
export function insertOldJson (array, index, values) {
  const { doc } = array
  let left = null
  for (let item = array._start, passed = 0; item !== null && passed < index; item = item.right) {
    if (!item.deleted && item.countable) {
      if (passed + item.length > index) return // not at a boundary of blocks: Yjs would have to cut
      passed += item.length
    }
    left = item
  }
  const right = left === null ? array._start : left.right
  doc.transact(transaction => {
    const id = Y.createID(doc.clientID, Y.getState(doc.store, doc.clientID))
    new Y.Item(id, left, left && left.lastId, right, right && right.id, array, null, new Y.ContentJSON(values)).integrate(transaction, 0)
    array._searchMarker?.splice(0) // positions that it remembers do not know of this block
  })
}

function randomType (gen) {
  switch (prng.int32(gen, 0, 5)) {
    case 0: return new Y.Array()
    case 1: return Y.Array.from(many(gen, 3, () => prng.int32(gen, -99, 99)))
    case 2: return new Y.Map(Object.entries({ x: prng.int32(gen, 0, 9), y: new Y.Text(randomString(gen)) }))
    case 3: return new Y.Text(randomString(gen))
    case 4: return new Y.Map()
    default: return randomXml(gen)
  }
}

function randomXml (gen) {
  switch (prng.int32(gen, 0, 6)) {
    case 0: case 1: return new Y.XmlText(randomString(gen))
    case 2: {
      const hook = new Y.XmlHook(prng.word(gen, 1, 5))
      hook.set('value', prng.int32(gen, 0, 9))
      return hook
    }
    default: return new Y.XmlElement(prng.oneOf(gen, ['p', 'div', 'h1', 'UNDEFINED']))
  }
}

function randomDoc (gen) {
  const opts = { guid: `doc-${prng.word(gen, 8, 8)}` }
  if (prng.bool(gen)) opts.autoLoad = true
  if (prng.bool(gen)) opts.gc = false
  if (prng.bool(gen)) opts.meta = { title: prng.word(gen, 1, 5) }
  return new Y.Doc(opts)
}

function randomFormat (gen) {
  const value = prng.oneOf(gen, [true, null, null, 'red', 12, { id: 'note' }])
  return { [prng.oneOf(gen, ['bold', 'color', 'ü'])]: value }
}

/** Words, and now and then what takes two UTF-16 units, or several code points. */
function randomString (gen) {
  const odd = ['😀', '👩‍👧', 'äöü', '\u0000', '中文', '\u2028']
  return prng.int32(gen, 0, 3) === 0 ? prng.oneOf(gen, odd) + prng.word(gen, 0, 2) : prng.word(gen, 1, 8)
}

/** Any plain value, of all kinds that lib0's `any` encoding has. */
export function randomPlain (gen, depth) {
  const last = depth > 0 ? 15 : 12
  switch (prng.int32(gen, 0, last)) {
    case 0: return undefined
    case 1: return null
    case 2: return prng.bool(gen)
    case 3: return prng.int32(gen, -63, 63)
    case 4: return prng.int53(gen, -(2 ** 31), 2 ** 31 - 1)
    case 5: return prng.int53(gen, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
    case 6: return prng.int32(gen, -9, 9) / 4 // exact in 32 bits
    case 7: return prng.real53(gen)
    case 8: return prng.oneOf(gen, [NaN, Infinity, -Infinity, -0, 5e-324, 1.7976931348623157e308])
    case 9: return randomString(gen)
    case 10: return ''
    case 11: return prng.word(gen, 100, 200)
    case 12: return prng.int32(gen, 0, 1)
    case 13: return many(gen, 3, () => deep(gen, depth - 1))
    case 14: return Object.fromEntries(many(gen, 3, () => [prng.word(gen, 0, 4), deep(gen, depth - 1)]))
    default: return {}
  }
}

/** Inside arrays and objects also those that Yjs gives a content of their own elsewhere. */
function deep (gen, depth) {
  switch (prng.int32(gen, 0, 9)) {
    case 0: return BigInt(prng.int53(gen, -(2 ** 53), 2 ** 53)) * 1000n
    case 1: return prng.uint8Array(gen, prng.int32(gen, 0, 9))
    default: return randomPlain(gen, depth)
  }
}

function randomJson (gen) {
  return prng.oneOf(gen, [1, 'word', null, { a: [1, 2] }, [true], prng.word(gen, 1, 5)])
}

/** Y.Array takes no bare undefined. */
function listable (value) {
  return value === undefined ? [undefined] : value
}

function many (gen, most, make) {
  return Array.from({ length: prng.int32(gen, 1, most) }, make)
}
