// What applications tell y-websocket, and what they teach it.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import test from 'node:test'
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'
import { connect, converged, PROVIDERS, synced } from './clients.mjs'
import { Server, until } from './harness.mjs'

for (const [version, Provider] of Object.entries(PROVIDERS)) {
  test(`${version}: a client that offers subprotocols is given the first`, { skip: version === 'y-websocket 1.5' && 'it offers none' }, async t => {
    const server = await Server.start(t)
    const one = connect(t, Provider, server, 'subprotocol', new Y.Doc(), { protocols: ['yjs'] })
    const other = connect(t, Provider, server, 'subprotocol', new Y.Doc(), { protocols: ['y.v2', 'yjs'] })
    await synced(one, other)
    assert.deepEqual([one.ws.protocol, other.ws.protocol], ['yjs', 'y.v2'])
    one.text.insert(0, 'both')
    await converged(one, other)
  })

  test(`${version}: the lines of docs/clients.md hear the answer to message 102, and nothing is printed`, async t => {
    const server = await Server.start(t)
    const provider = connect(t, Provider, server, 'handler')
    const printed = t.mock.method(console, 'error', () => {})
    const saved = []
    provider.text.insert(0, 'saved')
    linesOfPage()(provider, decoding, encoding, what => saved.push(what))
    await until('the handler is called', () => saved.length > 0)
    assert.deepEqual(saved, ['draft 7'])
    assert.deepEqual(printed.mock.calls, [])
  })
}

/** What docs/clients.md shows for message 102, without the imports, as a function of what it uses. */
function linesOfPage () {
  const page = fs.readFileSync(new URL('../../../docs/clients.md', import.meta.url), 'utf8')
  const code = page.match(/^import \* as decoding.*\n(?:import .*\n)*\n(provider[^`]*)```/m)
  assert.ok(code, 'the page shows them')
  return new Function('provider', 'decoding', 'encoding', 'showSaved', code[1])
}
