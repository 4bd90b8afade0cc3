// Histories in which shared types are deleted and made anew, as rich-text editors do it all day. Each is
// `{ updates, types }`, as in history.mjs.

import * as prng from 'lib0/prng'
import * as Y from 'yjs'
import { Schema } from 'prosemirror-model'
import { schema as basic } from 'prosemirror-schema-basic'
import { addListNodes } from 'prosemirror-schema-list'
import { tableNodes } from 'prosemirror-tables'
import { Transform } from 'prosemirror-transform'
import { initProseMirrorDoc, updateYFragment } from 'y-prosemirror'
import { Editors } from './history.mjs'

const XML = { xml: 'xml' }

/** A table of `size` × `size` cells, each with a paragraph, deleted and inserted anew. */
function tables ({ rounds = 300, size = 10 }) {
  return alone(XML, doc => {
    const xml = doc.getXmlFragment('xml')
    for (let round = 0; round < rounds; round++) {
      doc.transact(() => {
        xml.delete(0, xml.length)
        xml.insert(0, [element('table', many(size, row => element('row', many(size, cell => element('cell', [paragraph(`${row}.${cell}`)])))))])
      })
    }
  })
}

/** A paragraph in place of which there is another again and again. */
function paragraphs ({ rounds = 10_000 }) {
  return alone(XML, doc => {
    const xml = doc.getXmlFragment('xml')
    xml.insert(0, [paragraph('before'), paragraph('first'), paragraph('after')])
    for (let round = 0; round < rounds; round++) {
      doc.transact(() => {
        xml.delete(1, 1)
        xml.insert(1, [paragraph(`round ${round}`)])
      })
    }
  })
}

/** Types nested in each other's only element, `depth` deep; then the outermost goes. */
function chain ({ depth = 1000 }) {
  return alone({ array: 'array' }, doc => {
    doc.getArray('array').push(['before', 'after'])
    doc.transact(() => {
      let array = doc.getArray('array')
      for (let level = 0; level < depth; level++) {
        const inner = new Y.Array()
        array.insert(level === 0 ? 1 : 0, [inner])
        array = inner
      }
      array.push(['at the bottom'])
    })
    doc.getArray('array').delete(1, 1)
  })
}

/** Two who write in turns in what a third deletes: each block depends on one of the other. */
function turns ({ rounds = 500 }) {
  const editors = new Editors([3, 2, 1])
  const [a, b, c] = editors.docs
  a.getXmlFragment('xml').insert(0, [paragraph(''), paragraph('stays')])
  editors.deliverAll()
  const text = doc => doc.getXmlFragment('xml').get(0).get(0)
  c.getXmlFragment('xml').delete(0, 1)
  editors.inboxes[0].length = editors.inboxes[1].length = 0
  for (let round = 0; round < rounds; round++) {
    text(a).insert(round * 2, 'a')
    editors.deliver(1, 0)
    text(b).insert(round * 2 + 1, 'b')
    editors.deliver(0, 0)
  }
  return { updates: editors.updates, types: XML }
}

/** Two set one key to a type at the same time, fill it, and whoever meets the other's first deletes the loser's. */
function losers ({ rounds = 50 }) {
  const editors = new Editors([1, 2])
  const [a, b] = editors.docs
  for (let round = 0; round < rounds; round++) {
    for (const doc of [a, b]) {
      doc.getMap('map').set('key', new Y.Array())
      for (let at = 0; at < 20; at++) doc.getMap('map').get('key').insert(at % 3, [`${doc.clientID}, ${at}`])
    }
    editors.deliverAll()
  }
  editors.sync(0, 1)
  return { updates: editors.updates, types: { map: 'map' } }
}

/** Several people in editors of ProseMirror, who hear of each other late, and undo and redo. */
function rich ({ seed, clients = 3, steps = 120, gc = true }) {
  const gen = prng.create(seed)
  const editors = new Editors(many(clients, at => 1000 - at * 7), { gc })
  const undo = editors.docs.map(doc => new Y.UndoManager(doc.getXmlFragment('xml'), { captureTimeout: 0 }))
  editors.docs[0].transact(() => write(editors.docs[0], schema.node('doc', null, [randomBlock(gen, 2)])))
  editors.deliverAll()
  for (let step = 0; step < steps; step++) {
    const at = prng.int32(gen, 0, clients - 1)
    const chance = prng.int32(gen, 0, 99)
    if (chance < 60) edit(gen, editors.docs[at])
    else if (chance < 67) undo[at].undo()
    else if (chance < 71) undo[at].redo()
    else if (chance < 73) undo[at].clear()
    else if (chance < 76) editors.sync(at, prng.int32(gen, 0, clients - 1))
    else for (let some = 0; some < 4; some++) editors.deliver(at)
  }
  editors.deliverAll()
  return { updates: editors.updates, types: XML }
}

const schema = new Schema({
  nodes: addListNodes(basic.spec.nodes, 'paragraph block*', 'block').append(tableNodes({ tableGroup: 'block', cellContent: 'block+', cellAttributes: { align: { default: null } } })),
  marks: basic.spec.marks
})

/** What the binding does after each transaction of the editor. */
function write (doc, node, meta = { mapping: new Map(), isOMark: new Map() }) {
  updateYFragment(doc, doc.getXmlFragment('xml'), node, meta)
}

function edit (gen, doc) {
  doc.transact(() => {
    // As in the editor: what does not fit the schema is deleted while it is read.
    const { doc: node, meta } = initProseMirrorDoc(doc.getXmlFragment('xml'), schema)
    const change = new Transform(node.childCount > 0 ? node : schema.node('doc', null, [randomBlock(gen, 1)]))
    try {
      randomChange(gen, change)
    } catch { // no such change here
    }
    write(doc, change.doc, meta)
  })
}

function randomChange (gen, change) {
  const { doc } = change
  const at = prng.int32(gen, 0, doc.content.size)
  const to = Math.min(doc.content.size, at + prng.int32(gen, 1, 12))
  const child = prng.int32(gen, 0, doc.childCount - 1)
  let start = 0
  for (let before = 0; before < child; before++) start += doc.child(before).nodeSize
  const end = start + doc.child(child).nodeSize
  switch (prng.int32(gen, 0, 11)) {
    case 0: case 1: return change.insert(at, schema.text(prng.word(gen, 1, 9)))
    case 2: return change.delete(at, to)
    case 3: return change.addMark(at, to, schema.mark(prng.oneOf(gen, ['strong', 'em', 'code'])))
    case 4: return change.removeMark(at, to)
    case 5: return change.split(at)
    case 6: return change.join(at)
    case 7: return change.insert(start, randomBlock(gen, 3))
    case 8: return change.delete(start, end)
    case 9: return change.setBlockType(start, end, schema.nodes.heading, { level: prng.int32(gen, 1, 4) })
    default: return change.replaceWith(start, end, randomBlock(gen, 3))
  }
}

function randomBlock (gen, depth) {
  const text = () => schema.text(prng.word(gen, 1, 12))
  const some = make => many(prng.int32(gen, 1, 3), make)
  const inner = () => randomBlock(gen, depth - 1)
  switch (prng.int32(gen, 0, depth > 0 ? 6 : 2)) {
    case 0: case 1: return schema.node('paragraph', null, [text()])
    case 2: return schema.node('heading', { level: prng.int32(gen, 1, 3) }, [text()])
    case 3: return schema.node('blockquote', null, some(inner))
    case 4: return schema.node('bullet_list', null, some(() => schema.node('list_item', null, [schema.node('paragraph', null, [text()])])))
    default: return schema.node('table', null, some(() => schema.node('table_row', null, many(3, () => schema.node('table_cell', null, [schema.node('paragraph', null, [text()])])))))
  }
}

function alone (types, write) {
  const editors = new Editors([1001])
  write(editors.docs[0])
  return { updates: editors.updates, types }
}

function paragraph (text) {
  return element('paragraph', [new Y.XmlText(text)])
}

function element (name, children) {
  const made = new Y.XmlElement(name)
  made.insert(0, children)
  return made
}

function many (count, make) {
  return Array.from({ length: count }, (_, at) => make(at))
}

export const STORIES = { tables, paragraphs, chain, turns, losers, rich }
