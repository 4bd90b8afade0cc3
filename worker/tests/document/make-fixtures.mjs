// Writes the fixtures beside it, with real Yjs: `npm install yjs@13.6 && node make-fixtures.mjs`.
// `kinds.update` is one document with all kinds of content; `kinds.json` and `kinds.txt` are what its JSON and text must be.
import { writeFileSync } from 'node:fs'
import * as Y from 'yjs'

const doc = new Y.Doc()
doc.clientID = 1

const map = doc.getMap('map')
map.set('number', 1.5)
map.set('integer', -7)
map.set('big', 9007199254740993n)
map.set('flag', true)
map.set('nothing', null)
map.set('undefined', undefined)
map.set('infinite', Infinity)
map.set('bytes', new Uint8Array([0, 1, 255]))
map.set('object', { nested: ['ä', { deep: false }] })
map.set('overwritten', 1)
map.set('overwritten', 2)
map.set('deleted', 1)
map.delete('deleted')
map.set('array', Y.Array.from([1, 'two', new Y.Map([['three', 3]])]))
map.set('subdocument', new Y.Doc({ guid: 'a-guid' }))

doc.getText('plain').insert(0, 'Grüße 😀, 世界')
doc.getText('plain').delete(0, 1)

const rich = doc.getText('rich')
rich.insert(0, 'bold plain')
rich.format(0, 4, { bold: true })
rich.insertEmbed(10, { image: 'a.png' })

doc.getArray('array').push([1, 'text 😀', { a: 1 }, null])

const paragraph = new Y.XmlElement('paragraph')
const mention = new Y.XmlElement('mention')
mention.setAttribute('id', 'u1')
paragraph.setAttribute('align', 'left')
paragraph.insert(0, [new Y.XmlText('before '), mention, new Y.XmlText('after')])
const heading = new Y.XmlElement('heading')
heading.insert(0, [new Y.XmlText('Title')])
doc.getXmlFragment('prosemirror').insert(0, [heading, paragraph])

// Lexical keeps its paragraphs as texts inside a root text that has attributes.
const root = doc.get('lexical', Y.XmlText)
root.setAttribute('__dir', 'ltr')
const line = new Y.XmlText('A line')
line.setAttribute('__type', 'paragraph')
root.insertEmbed(0, line)

doc.getText('emptied').insert(0, 'gone')
doc.getText('emptied').delete(0, 4)

const json = {
  array: [1, 'text 😀', { a: 1 }, null],
  lexical: { map: { __dir: 'ltr' }, array: [{ attributes: { __type: 'paragraph' }, text: 'A line' }] },
  map: {
    number: 1.5,
    integer: -7,
    big: '9007199254740993',
    flag: true,
    nothing: null,
    undefined: null,
    infinite: null,
    bytes: { base64: 'AAH/' },
    object: { nested: ['ä', { deep: false }] },
    overwritten: 2,
    array: [1, 'two', { three: 3 }],
    subdocument: { guid: 'a-guid' },
  },
  plain: 'rüße 😀, 世界',
  prosemirror: [
    { tag: 'heading', attributes: {}, children: ['Title'] },
    {
      tag: 'paragraph',
      attributes: { align: 'left' },
      children: ['before ', { tag: 'mention', attributes: { id: 'u1' }, children: [] }, 'after'],
    },
  ],
  rich: [
    { insert: 'bold', attributes: { bold: true } },
    { insert: ' plain' },
    { insert: { image: 'a.png' } },
  ],
}
const text = 'A line\nrüße 😀, 世界\nTitle\nbefore after\nbold plain'

const here = new URL('./', import.meta.url)
writeFileSync(new URL('kinds.update', here), Y.encodeStateAsUpdate(doc))
writeFileSync(new URL('kinds.json', here), JSON.stringify(json, null, 2).replace('"9007199254740993"', '9007199254740993') + '\n')
writeFileSync(new URL('kinds.txt', here), text)
