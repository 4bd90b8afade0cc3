// Makes fixtures/*.bin from real Yjs: `npm ci && npm run fixtures`. The same Yjs makes the same bytes each time.
//
// One file for each group of cases. varUint, varString and varBuf are lib0's:
//
//   file = varUint count, case*
//   case = varString name,
//          varUint n, n × varBuf update       v1, in the order the editors produced them: each comes after what it depends on
//                                             (except in the groups `late` and `unfilled`: that is what they are about)
//          varBuf state                       encodeStateAsUpdate of a fresh document that applied all in this order
//          varBuf stateVector                 encodeStateVector of the same
//          varString expected                 JSON: its canonical view, see canonical.mjs
//
// Nothing waits for a gap at the end, except in the group `unfilled`, where state and expected are without what waits.

import fs from 'node:fs'
import * as encoding from 'lib0/encoding'
import * as prng from 'lib0/prng'
import * as Y from 'yjs'
import { canonical, isPending, load } from './canonical.mjs'
import { insertOldJson, randomPlain } from './edits.mjs'
import { Editors, randomHistory } from './history.mjs'

const TYPES = { text: 'text', map: 'map', array: 'array', xml: 'xml' }

/** One editor's document and everything it produced. */
function alone (edit, options) {
  const editors = new Editors([1001], options)
  edit(editors.docs[0])
  return { updates: editors.updates, types: TYPES }
}

/** Two editors; `edit` gets both documents and a function that lets each hear of everything. */
function together (edit, options) {
  const editors = new Editors([7, 0x80000001], options)
  const [a, b] = editors.docs
  edit(a, b, () => editors.deliverAll(), editors)
  editors.deliverAll()
  return { updates: editors.updates, types: TYPES }
}

const text = {
  'typed letter by letter': () => alone(doc => [...'Hello, world'].forEach((letter, at) => doc.getText('text').insert(at, letter))),
  'typed backwards': () => alone(doc => [...'dlrow'].forEach(letter => doc.getText('text').insert(0, letter))),
  'typed in the middle, then deleted across blocks': () => alone(doc => {
    const text = doc.getText('text')
    text.insert(0, 'abcdef')
    text.insert(3, '---')
    text.delete(2, 5)
    text.insert(2, '+')
  }),
  'all deleted': () => alone(doc => {
    doc.getText('text').insert(0, 'gone')
    doc.getText('text').delete(0, 4)
  }),
  'formats that overlap and end': () => alone(doc => {
    const text = doc.getText('text')
    text.insert(0, 'plain bold red plain')
    text.format(6, 8, { bold: true })
    text.format(11, 3, { color: 'red', link: { href: '/ü' } })
    text.format(8, 4, { bold: null })
    text.insert(7, 'x', { bold: null, size: 1.5 })
  }),
  'formats at the same time': () => together((a, b, meet) => {
    a.getText('text').insert(0, 'one two three')
    meet()
    a.getText('text').format(0, 7, { bold: true })
    b.getText('text').format(4, 9, { bold: null, italic: true })
    b.getText('text').delete(2, 4)
    meet()
    a.getText('text').format(0, 6, { bold: true })
  }),
  embeds: () => alone(doc => {
    const text = doc.getText('text')
    text.insert(0, 'before after')
    text.insertEmbed(7, { image: 'data:', size: [1, 2.5] })
    text.insertEmbed(7, 'a string')
    text.insertEmbed(8, new Y.Map([['caption', new Y.Text('nested')]]), { width: 3 })
    text.delete(6, 2)
  }),
  'delta with empty inserts': () => alone(doc => {
    doc.getText('text').applyDelta([{ insert: '' }, { insert: 'ab', attributes: { b: true } }, { insert: '' }, { insert: '\n' }])
    doc.getText('text').applyDelta([{ retain: 1 }, { insert: '', attributes: { b: null } }, { delete: 1 }, { insert: 'c' }])
  }),
  'delta of an empty insert alone': () => alone(doc => {
    doc.getText('text').applyDelta([{ insert: '', attributes: { b: true } }], { sanitize: false })
    doc.getText('text').insert(0, 'x')
  }),
  'surrogate pairs whole': () => alone(doc => {
    doc.getText('text').insert(0, '😀a👩‍👧')
    doc.getText('text').insert(2, '🎉')
    doc.getText('text').delete(0, 2)
  }),
  'insert between surrogates': () => alone(doc => {
    doc.getText('text').insert(0, 'a😀b')
    doc.getText('text').insert(2, '|')
  }),
  'first surrogate deleted': () => alone(doc => {
    doc.getText('text').insert(0, 'a😀b')
    doc.getText('text').delete(1, 1)
  }),
  'second surrogate deleted': () => alone(doc => {
    doc.getText('text').insert(0, 'a😀😀b')
    doc.getText('text').delete(2, 1)
    doc.getText('text').delete(3, 1)
  }),
  'surrogates typed one after the other': () => alone(doc => {
    doc.getText('text').insert(0, '\ud83d')
    doc.getText('text').insert(1, '\ude00')
  }),
  'surrogate pair cut by both': () => together((a, b, meet) => {
    a.getText('text').insert(0, 'x😀y')
    meet()
    a.getText('text').insert(2, 'A')
    b.getText('text').delete(1, 1)
    b.getText('text').insert(2, 'B')
  }),
  'typed at the same place': () => together((a, b, meet) => {
    a.getText('text').insert(0, 'base')
    meet()
    for (const letter of 'AAA') a.getText('text').insert(2, letter)
    for (const letter of 'bbb') b.getText('text').insert(2, letter)
    meet()
    b.getText('text').delete(1, 5)
    a.getText('text').insert(4, '!')
  }),
  'undo and redo': () => together((a, b, meet) => {
    const undo = new Y.UndoManager(a.getText('text'), { captureTimeout: 0 })
    a.getText('text').insert(0, 'first ')
    meet()
    b.getText('text').insert(6, 'other ')
    meet()
    a.getText('text').insert(12, 'second')
    a.getText('text').delete(0, 3)
    undo.undo()
    undo.undo()
    meet()
    undo.redo()
    undo.redo()
    undo.undo()
  }),
  'pasted over thirty times': () => alone(doc => {
    for (let paste = 0; paste < 30; paste++) {
      doc.getText('text').delete(0, doc.getText('text').length)
      doc.getText('text').insert(0, `paste ${paste} `.repeat(20))
    }
  })
}

const map = {
  'set and overwritten': () => alone(doc => ['one', 'two', 'three'].forEach(value => doc.getMap('map').set('key', value))),
  'deleted and set again': () => alone(doc => {
    const map = doc.getMap('map')
    map.set('a', 1)
    map.set('b', 2)
    map.delete('a')
    map.set('a', 3)
    map.delete('b')
  }),
  'one key at the same time': () => together((a, b, meet) => {
    a.getMap('map').set('key', 'a')
    b.getMap('map').set('key', 'b')
    meet()
    a.getMap('map').set('key', 'again a')
    b.getMap('map').delete('key')
    b.getMap('map').set('', 'the empty key')
  }),
  'nested three deep, in one transaction': () => alone(doc => {
    doc.getMap('map').set('list', Y.Array.from([new Y.Map([['text', new Y.Text('deep')], ['list', Y.Array.from([1, [2]])]]), 'end']))
  }),
  'nested, and replaced while somebody writes in it': () => together((a, b, meet) => {
    a.getMap('map').set('text', new Y.Text('old'))
    meet()
    b.getMap('map').get('text').insert(3, ' and more')
    a.getMap('map').set('text', new Y.Text('new'))
    meet()
    b.getMap('map').get('text').insert(0, 'the ')
  }),
  clear: () => alone(doc => {
    for (let at = 0; at < 5; at++) doc.getMap('map').set(`k${at}`, at)
    doc.getMap('map').clear()
  })
}

const array = {
  'pushed, inserted, deleted': () => alone(doc => {
    const array = doc.getArray('array')
    array.push([1, 2, 3])
    array.insert(1, ['a', 'b'])
    array.delete(0, 2)
    array.unshift([null])
  }),
  'deleted inside a block, by both': () => together((a, b, meet) => {
    a.getArray('array').push([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    meet()
    a.getArray('array').delete(2, 5)
    b.getArray('array').delete(4, 5)
    b.getArray('array').insert(4, ['between'])
  }),
  'map in array in map': () => together((a, b, meet) => {
    a.getMap('map').set('rows', new Y.Array())
    meet()
    a.getMap('map').get('rows').push([new Y.Map([['cell', 1]])])
    b.getMap('map').get('rows').push([new Y.Map([['cell', 2]]), new Y.Text('a text')])
    meet()
    a.getMap('map').get('rows').get(0).set('cell', 3)
    b.getMap('map').get('rows').delete(1, 1)
  })
}

const xml = {
  'elements with attributes': () => alone(doc => {
    const p = new Y.XmlElement('p')
    doc.getXmlFragment('xml').insert(0, [p])
    p.setAttribute('class', 'intro')
    p.setAttribute('data', { any: ['thing', 1] })
    p.insert(0, [new Y.XmlText('words'), new Y.XmlElement('br')])
    p.get(0).format(0, 2, { strong: {} })
    p.get(0).setAttribute('lang', 'de')
    p.setAttribute('class', 'outro')
    p.removeAttribute('data')
  }),
  'hook and fragment': () => alone(doc => {
    const hook = new Y.XmlHook('video')
    doc.getXmlFragment('xml').insert(0, [hook, new Y.XmlText('after')])
    hook.set('src', 'ü.webm')
    doc.getMap('map').set('fragment', new Y.XmlFragment())
    doc.getMap('map').get('fragment').insert(0, [new Y.XmlElement('in-a-map')])
  }),
  'paragraphs at the same time': () => together((a, b, meet) => {
    a.getXmlFragment('xml').insert(0, [new Y.XmlElement('p'), new Y.XmlElement('p')])
    meet()
    a.getXmlFragment('xml').get(0).insert(0, [new Y.XmlText('a')])
    b.getXmlFragment('xml').get(0).insert(0, [new Y.XmlText('b')])
    b.getXmlFragment('xml').delete(1, 1)
    a.getXmlFragment('xml').get(1).insert(0, [new Y.XmlText('into what goes')])
    a.getXmlFragment('xml').get(1).setAttribute('id', '2')
  })
}

const content = {
  'binary of 0, 1 and 300 bytes': () => alone(doc => {
    doc.getArray('array').push([new Uint8Array(0), new Uint8Array([255]), Uint8Array.from({ length: 300 }, (_, at) => at % 256)])
    doc.getMap('map').set('bytes', new Uint8Array([0, 1, 2]))
  }),
  'every kind of number': () => alone(doc => {
    const numbers = [0, -0, 1, -1, 63, 64, -64, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), 2 ** 53 - 1, -(2 ** 53 - 1), 2 ** 60,
      0.5, 0.1, 1e300, 5e-324, NaN, Infinity, -Infinity]
    doc.getArray('array').push(numbers)
    doc.getMap('map').set('bigint', 2n ** 62n)
    doc.getMap('map').set('negative', [-(2n ** 63n), -1n, 0n])
  }),
  'undefined, null, booleans, nothing': () => alone(doc => {
    doc.getMap('map').set('undefined', undefined)
    doc.getMap('map').set('null', null)
    doc.getMap('map').set('empty', [[], {}, '', [undefined]])
    doc.getArray('array').push([null, true, false, { not: undefined }])
  }),
  'deep plain values': () => alone(doc => {
    let deep = 'bottom'
    for (let depth = 0; depth < 60; depth++) deep = depth % 2 === 0 ? [deep, depth] : { in: deep }
    doc.getMap('map').set('deep', deep)
  }),
  'random plain values': () => alone(doc => {
    const gen = prng.create(4)
    for (let at = 0; at < 60; at++) doc.getMap('map').set(`k${at % 20}`, randomPlain(gen, 4))
  }),
  'JSON as Yjs 12 wrote it': () => together((a, b, meet) => {
    a.getArray('array').push(['first'])
    insertOldJson(a.getArray('array'), 1, [1, { a: [true, null] }, undefined, 'ü', [], 'last'])
    meet()
    b.getArray('array').delete(2, 2)
    a.getArray('array').insert(4, ['in the middle'])
  }),
  'sub-documents': () => together((a, b, meet) => {
    a.getMap('map').set('doc', new Y.Doc({ guid: 'sub-1', meta: { title: 'ü', size: 3 } }))
    a.getArray('array').push([new Y.Doc({ guid: 'sub-2', autoLoad: true, gc: false }), 'next'])
    meet()
    b.getMap('map').set('doc', new Y.Doc({ guid: 'sub-3' }))
    b.getArray('array').delete(0, 1)
  }),
  'client ids of every length': () => {
    const editors = new Editors([1, 127, 128, 16384, 2 ** 31, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER])
    editors.docs.forEach((doc, at) => { doc.getText('text').insert(0, String(at)); editors.deliverAll() })
    editors.docs.forEach(doc => doc.getText('text').insert(4, 'x'))
    editors.docs[7].getText('text').delete(2, 6)
    return { updates: editors.updates, types: TYPES }
  },
  'nothing at all': () => ({ updates: [Y.encodeStateAsUpdate(new Y.Doc())], types: TYPES }),
  'roots with odd names': () => {
    const made = alone(doc => {
      doc.getText('').insert(0, 'no name')
      doc.getArray('ü😀\u0000').push([1])
      doc.getMap('__proto').set('constructor', 1)
    })
    return { ...made, types: { '': 'text', 'ü😀\u0000': 'array', __proto: 'map' } }
  }
}

const garbage = {
  'a nested type deleted': () => alone(doc => {
    doc.getMap('map').set('gone', new Y.Array())
    doc.getMap('map').get('gone').push([1, 2, new Y.Text('inner')])
    doc.getMap('map').get('gone').get(2).insert(5, ' more')
    doc.getMap('map').delete('gone')
    doc.getMap('map').set('stays', 1)
  }),
  'the same without collection': () => alone(doc => {
    doc.getMap('map').set('gone', Y.Array.from([1, 2, new Y.Text('inner')]))
    doc.getMap('map').delete('gone')
    doc.getText('text').insert(0, 'abc')
    doc.getText('text').delete(1, 1)
  }, { gc: false }),
  'sent after it was collected': () => together((a, b, meet, editors) => {
    b.getText('text').insert(0, 'b writes on')
    a.getArray('array').push([new Y.Map([['x', new Y.Text('long gone')]]), 'kept'])
    a.getArray('array').delete(0, 1)
    a.getText('text').insert(0, 'tail')
    editors.sync(0, 1)
    b.getArray('array').push(['after'])
    editors.sync(1, 0)
  }),
  'written in while another deletes it': () => together((a, b, meet) => {
    a.getArray('array').push([new Y.Array(), new Y.Map()])
    meet()
    a.getArray('array').delete(0, 2)
    b.getArray('array').get(0).push(['lost', new Y.Text('with what is in it')])
    b.getArray('array').get(1).set('key', new Y.Map([['k', 1]]))
    meet()
    b.getArray('array').push(['found'])
  }),
  'collected by one, kept by the other': () => {
    const editors = new Editors([7, 9])
    editors.docs[1].gc = false
    const [a, b] = editors.docs
    a.getArray('array').push([Y.Array.from([1, 2, 3]), Y.Array.from([4, 5])])
    editors.deliverAll()
    a.getArray('array').delete(0, 1)
    b.getArray('array').get(1).delete(0, 1)
    editors.deliverAll()
    editors.sync(0, 1)
    editors.sync(1, 0)
    return { updates: editors.updates, types: TYPES }
  },
  'an undo manager keeps what was deleted': () => alone(doc => {
    const undo = new Y.UndoManager([doc.getMap('map'), doc.getArray('array')], { captureTimeout: 0 })
    doc.getMap('map').set('type', new Y.Map([['k', 1]]))
    doc.getArray('array').push([new Y.Text('words'), 2])
    doc.getMap('map').set('type', 'overwritten')
    doc.getArray('array').delete(0, 2)
    undo.undo()
    undo.undo()
    undo.redo()
    undo.clear()
  })
}

/** Three editors of text, map and array; the updates of each by itself. */
function conversation (seed) {
  const { updates } = randomHistory({ seed, clients: 3, steps: 80, content: 'all' })
  return updates
}

const ALL = { text: 'text', map: 'map', array: 'array', xml: 'xml', 'ü😀 ': 'text', '': 'map' }

const late = {
  'deletion before its target': () => {
    const editors = new Editors([1, 2])
    editors.docs[0].getText('text').insert(0, 'abcdef')
    editors.deliverAll()
    editors.docs[1].getText('text').delete(1, 3)
    return { updates: [editors.updates[1], editors.updates[0]], types: TYPES }
  },
  'deletion of which a part is there': () => {
    const made = alone(doc => {
      doc.getText('text').insert(0, 'abc')
      doc.getText('text').insert(3, 'def')
      doc.getText('text').delete(1, 4)
    })
    return { ...made, updates: [0, 2, 1].map(at => made.updates[at]) }
  },
  'updates 0, 2, 1': () => {
    const made = alone(doc => [...'abc'].forEach((letter, at) => doc.getText('text').insert(at, letter)))
    return { ...made, updates: [0, 2, 1].map(at => made.updates[at]) }
  },
  'last comes first': () => {
    const made = alone(doc => [...'abcdefgh'].forEach((letter, at) => doc.getText('text').insert(at, letter)))
    return { ...made, updates: made.updates.reverse() }
  },
  'an origin of another client that is not there yet': () => {
    const made = together((a, b, meet) => {
      a.getText('text').insert(0, 'origin')
      meet()
      b.getText('text').insert(3, 'between')
      b.getText('text').insert(5, '!')
    })
    return { ...made, updates: [2, 1, 0].map(at => made.updates[at]) }
  },
  'a parent that is not there yet': () => {
    const made = together((a, b, meet) => {
      a.getMap('map').set('list', new Y.Array())
      meet()
      b.getMap('map').get('list').push([1])
      b.getMap('map').get('list').push([new Y.Text('x')])
    })
    return { ...made, updates: [2, 1, 0].map(at => made.updates[at]) }
  },
  'merged around a gap: Skip': () => {
    const made = alone(doc => [...'abcdef'].forEach((letter, at) => doc.getText('text').insert(at, letter)))
    const [a, b, c, d, e, f] = made.updates
    return { ...made, updates: [Y.mergeUpdates([a, c, f]), Y.mergeUpdates([d, f]), Y.mergeUpdates([b, e])] }
  },
  'merged in two halves, the second first': () => {
    const updates = conversation(11)
    const half = updates.length >> 1
    return { updates: [Y.mergeUpdates(updates.slice(half)), Y.mergeUpdates(updates.slice(0, half))], types: ALL }
  },
  'merged odd and even': () => {
    const updates = conversation(12)
    return { updates: [0, 1].map(rest => Y.mergeUpdates(updates.filter((_, at) => at % 2 === rest))), types: ALL }
  },
  'each three times, backwards': () => ({ updates: conversation(13).reverse().flatMap(update => [update, update, update]), types: ALL }),
  'overlapping diffs': () => {
    const updates = conversation(14)
    const states = [10, 25, 40].map(count => Y.encodeStateAsUpdate(load(updates.slice(0, count))))
    return { updates: [states[2], states[0], states[1], ...updates.slice(20).reverse(), Y.diffUpdate(Y.mergeUpdates(updates), Y.encodeStateVectorFromUpdate(states[0]))], types: ALL }
  },
  ...Object.fromEntries([21, 22, 23, 24, 25, 26].map(seed => [`random order ${seed}`, () => {
    const updates = conversation(seed)
    return { updates: shuffle(prng.create(seed), updates), types: ALL }
  }]))
}

const unfilled = {
  'the first is missing': () => {
    const made = alone(doc => [...'abc'].forEach((letter, at) => doc.getText('text').insert(at, letter)))
    return { ...made, updates: made.updates.slice(1) }
  },
  'one in the middle is missing': () => {
    const made = alone(doc => [...'abcd'].forEach((letter, at) => doc.getText('text').insert(at, letter)))
    return { ...made, updates: made.updates.toSpliced(1, 1) }
  },
  'merged around what is missing': () => {
    const made = alone(doc => [...'abcd'].forEach((letter, at) => doc.getText('text').insert(at, letter)))
    return { ...made, updates: [Y.mergeUpdates(made.updates.toSpliced(1, 1))] }
  },
  'a deletion of what is missing': () => {
    const made = alone(doc => {
      doc.getText('text').insert(0, 'abc')
      doc.getText('text').insert(3, 'def')
      doc.getText('text').delete(1, 4)
    })
    return { ...made, updates: made.updates.toSpliced(1, 1) }
  },
  'an origin of another client is missing': () => {
    const made = together((a, b, meet) => {
      a.getText('text').insert(0, 'origin')
      meet()
      b.getText('text').insert(3, 'between')
    })
    return { ...made, updates: made.updates.slice(1) }
  }
}

function shuffle (gen, list) {
  const left = [...list]
  return list.map(() => left.splice(prng.int32(gen, 0, left.length - 1), 1)[0])
}

function histories (from, count, options) {
  return Object.fromEntries(Array.from({ length: count }, (_, at) => {
    const seed = from + at
    return [`${options.content ?? 'all'} ${seed}`, () => randomHistory({ seed, clients: 2 + seed % 4, ...options })]
  }))
}

const random = {
  ...histories(100, 10, { content: 'text', steps: 120 }),
  ...histories(200, 6, { content: 'map', steps: 80 }),
  ...histories(300, 6, { content: 'array', steps: 80 }),
  ...histories(400, 6, { content: 'xml', steps: 80 }),
  ...histories(500, 20, { steps: 100 }),
  ...histories(600, 4, { steps: 100, gc: false }),
  ...histories(700, 2, { steps: 400, clients: 8 })
}

function writeCase (encoder, name, make, mayWait) {
  const { updates, types } = make()
  const doc = load(updates)
  if (isPending(doc) !== mayWait) throw new Error(`${name}: ${mayWait ? 'nothing' : 'something'} waits for a gap`)
  doc.store.pendingStructs = doc.store.pendingDs = null
  const state = Y.encodeStateAsUpdate(doc)
  const expected = JSON.stringify(canonical(doc, types))
  if (JSON.stringify(canonical(load([state]), types)) !== expected) throw new Error(`${name}: its state reads back differently`)
  encoding.writeVarString(encoder, name)
  encoding.writeVarUint(encoder, updates.length)
  for (const update of updates) encoding.writeVarUint8Array(encoder, update)
  encoding.writeVarUint8Array(encoder, state)
  encoding.writeVarUint8Array(encoder, Y.encodeStateVector(doc))
  encoding.writeVarString(encoder, expected)
}

for (const [group, cases] of Object.entries({ text, map, array, xml, content, garbage, late, unfilled, random })) {
  const encoder = encoding.createEncoder()
  encoding.writeVarUint(encoder, Object.keys(cases).length)
  for (const [name, make] of Object.entries(cases)) writeCase(encoder, name, make, group === 'unfilled')
  const bytes = encoding.toUint8Array(encoder)
  fs.writeFileSync(new URL(`fixtures/${group}.bin`, import.meta.url), bytes)
  console.log(`${group}: ${Object.keys(cases).length} cases, ${bytes.length} bytes`)
}
