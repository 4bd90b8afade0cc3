// Somebody behind a slow link, to whom a large document comes in pieces.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect, PROVIDERS, synced, Y } from '../../server/tests/clients/clients.mjs'
import { Server, until } from '../../server/tests/clients/harness.mjs'
import { Proxy } from '../../server/tests/clients/proxy.mjs'
import { launch, Person } from './browser.mjs'

const ITEMS = 400

// Tiptap deletes nodes that do not fit its schema, as a list item without its paragraph: for everybody.
test('Tiptap that is there before the document shows all of it at once, and deletes nothing', async t => {
  const server = await Server.start(t)
  const [writer, other] = Array.from({ length: 2 }, () => {
    const provider = connect(t, PROVIDERS['y-websocket 3.1'], server, 'r/tiptap')
    return Object.assign(provider, { fragment: provider.doc.getXmlFragment('tiptap') })
  })
  await synced(writer, other)
  // Tiptap itself would add a paragraph behind a list.
  writer.doc.transact(() => writer.fragment.push([...Array.from({ length: ITEMS / 4 }, () => list()), new Y.XmlElement('paragraph')]))
  const written = writer.fragment.toString()
  await until('it has arrived', () => other.fragment.toString() === written, 60)

  const link = await Proxy.start(t, server, 200_000)
  const browser = await launch(t)
  const grace = await Person.open(t, browser, link, 'r', 'Grace', { editor: 'tiptap' })
  const items = () => grace.page.locator('.ProseMirror li').count()
  const seen = new Set()
  await until('the document is there', async () => {
    const count = await items()
    seen.add(count)
    return count === ITEMS
  }, 90)
  assert.deepEqual([...seen].filter(count => count !== 0 && count !== ITEMS), [], 'all at once')
  await grace.type('tiptap', 'the end')
  await until('what she types arrives', () => writer.fragment.toString().includes('the end'), 60)
  assert.ok(writer.fragment.toString().replace('the end', '') === written, 'nothing else has changed')
  assert.deepEqual(grace.complaints, [])
})

/** Four items, one in the other, each with a paragraph that compression does not make much shorter. */
function list (depth = 0) {
  const paragraph = new Y.XmlElement('paragraph')
  paragraph.insert(0, [new Y.XmlText(noise(10_000))])
  const item = new Y.XmlElement('listItem')
  item.insert(0, depth < 3 ? [paragraph, list(depth + 1)] : [paragraph])
  const outer = new Y.XmlElement('bulletList')
  outer.insert(0, [item])
  return outer
}

function noise (length) {
  let text = ''
  while (text.length < length) text += Math.random().toString(36).slice(2) + ' '
  return text.slice(0, length)
}
