// Carries out edits, which are data (src/edit.rs says what they mean), on a document of Yjs.

import * as Y from 'yjs'

/** The roots of every document. */
export const ROOTS = {
  text: doc => doc.getText('text'),
  map: doc => doc.getMap('map'),
  array: doc => doc.getArray('array'),
  xml: doc => doc.getXmlFragment('xml')
}

/** Carries out `{ root, path, action }`. Belongs into a transaction, so that it makes one update. */
export function change (doc, { root, path = [], action }) {
  const type = path.reduce(descend, ROOTS[root](doc))
  const [[name, argument]] = Object.entries(action)
  if (type instanceof Y.Text) changeText(type, name, argument)
  else if (type instanceof Y.Map) changeMap(type, name, argument)
  else if (type instanceof Y.Array) changeArray(type, name, argument)
  else changeXml(type, name, argument)
}

/** One of the types nested in this one; itself if there are none. */
function descend (type, step) {
  const nested = members(type).filter(member => member instanceof Y.AbstractType)
  return nested.length > 0 ? nested[step % nested.length] : type
}

function members (type) {
  if (type instanceof Y.Text) return type.toDelta().map(({ insert }) => insert)
  if (type instanceof Y.Map) return [...type.keys()].sort().map(key => type.get(key))
  return type.toArray()
}

function changeText (text, name, argument) {
  switch (name) {
    case 'insert': return insertIntoText(text, boundary(utf16Units(text), argument.at % (text.length + 1)), argument.content)
    case 'delete': return within(text, argument, (at, length) => text.delete(at, length))
    case 'format': return within(text, argument, (at, length) => text.format(at, length, argument.formats))
  }
}

function insertIntoText (text, at, content) {
  const [[kind, given]] = Object.entries(content)
  switch (kind) {
    case 'text': return text.insert(at, given)
    case 'formatted': return text.insert(at, given[0], given[1])
    // In an object, because Yjs fails on an embed of null, and takes a string for text.
    case 'values': return text.insertEmbed(at, { embed: given[0] ?? null })
    case 'type': return 'element' in given ? undefined : text.insertEmbed(at, newType(given))
    // Bytes and documents are no embeds: those are JSON.
  }
}

/** A part of a text that cuts no surrogate pair, if there is anything. */
function within (text, { at, len }, act) {
  if (text.length === 0) return
  const units = utf16Units(text)
  const start = at % text.length
  const [from, to] = [start, Math.min(start + len, text.length)].map(place => boundary(units, place))
  if (from < to) act(from, to - from)
}

/** The text with one unit for each embed. */
function utf16Units (text) {
  return text.toDelta().map(({ insert }) => typeof insert === 'string' ? insert : '-').join('')
}

/** The place itself, or the one before where it would cut a surrogate pair. */
function boundary (units, at) {
  return /[\udc00-\udfff]/.test(units.charAt(at)) ? at - 1 : at
}

function changeMap (map, name, { key, content }) {
  if (name === 'set') map.set(key, element(content))
  else if (name === 'unset') map.delete(key)
}

function changeArray (array, name, { at, len, content }) {
  if (name === 'insert') array.insert(at % (array.length + 1), 'values' in content ? content.values : [element(content)])
  else if (name === 'delete') deleteElements(array, at, len)
}

function changeXml (parent, name, argument) {
  switch (name) {
    case 'insert': return parent.insert(argument.at % (parent.length + 1), [newNode(argument.content)])
    case 'delete': return deleteElements(parent, argument.at, argument.len)
    case 'set': if (parent instanceof Y.XmlElement) parent.setAttribute(argument.key, textOf(argument.content)); return
    case 'unset': if (parent instanceof Y.XmlElement) parent.removeAttribute(argument.key)
  }
}

function deleteElements (list, at, len) {
  if (list.length === 0) return
  const start = at % list.length
  list.delete(start, Math.min(len, list.length - start))
}

/** Content as an element of an array or an entry of a map. */
function element (content) {
  const [[kind, given]] = Object.entries(content)
  switch (kind) {
    case 'text': return given
    case 'formatted': return given[0]
    case 'values': return given[0] ?? null
    case 'binary': return Uint8Array.from(given)
    case 'type': return newType(given)
    case 'document': return new Y.Doc({ guid: given })
  }
}

function newType (nested) {
  const [[kind, given]] = Object.entries(nested)
  switch (kind) {
    case 'text': return new Y.Text(given)
    case 'map': return new Y.Map([['n', given]])
    case 'array': return Y.Array.from(given)
    case 'element': return new Y.XmlElement(given)
  }
}

function newNode (content) {
  const name = content.type?.element
  return name === undefined ? new Y.XmlText(textOf(content)) : new Y.XmlElement(name)
}

/** Content as the value of an attribute, or as the text of an XML node. */
function textOf (content) {
  const [[kind, given]] = Object.entries(content)
  switch (kind) {
    case 'text': return given
    case 'formatted': return given[0]
    case 'values': return given.length > 0 ? JSON.stringify(given[0]) : ''
    default: return given.text ?? ''
  }
}
