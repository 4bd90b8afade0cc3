// What must not do any harm: names, links, other people's clients and servers that say no.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as encoding from 'lib0/encoding'
import { Server, until } from '../../server/tests/clients/harness.mjs'
import { launch, Person, TITLES } from './browser.mjs'

const SCRIPT = '<img src=x onerror=hacked=1>'

const isUnharmed = person => person.page.evaluate(() => globalThis.hacked === undefined)

const ROOMS = ['a b', 'ü/日本語/🦦', '100%', '%2e%2e', '../../etc/passwd', '?room=x#y', '"\'`\\', SCRIPT, 'a&token=b', 'javascript:alert(1)', '\u202Ertl', 'healthz', '.hidden', '…']

test('rooms with every kind of character in their names are rooms', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  for (const room of ROOMS) {
    const [ada, grace] = [await Person.open(t, browser, server, room, 'Ada'), await Person.open(t, browser, server, room, 'Grace')]
    assert.equal(await ada.page.locator('.room-name').textContent(), room)
    await ada.connected()
    await ada.type('codemirror', `in ${room}`)
    await until(`Grace sees it in ${room}`, async () => (await grace.text('codemirror')).startsWith(`in ${room.slice(0, 1)}`) && (await grace.text('codemirror')) === await ada.text('codemirror'))
    await ada.isSaved()
    assert.ok(await isUnharmed(ada))
    assert.deepEqual([...ada.complaints, ...grace.complaints], [], room)
    await Promise.all([ada.context.close(), grace.context.close()])
  }
})

test('a room that cannot be is explained, and there is a way on', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  for (const [room, words] of [['..', 'by dots alone'], ['.', 'by dots alone'], ['a\0b', 'cannot have a NUL'], ['ä'.repeat(300), 'at most 512 bytes; this one has 600']]) {
    const ada = await Person.open(t, browser, server, room, 'Ada', { path: `/?room=${encodeURIComponent(room)}` })
    await ada.says(ada.page.locator('.explain'), words)
    await ada.page.getByRole('link', { name: 'Open a new room' }).click()
    await ada.connected()
    assert.match(ada.page.url(), /\?room=[a-z]+-[a-z]+-\d\d#codemirror$/)
    assert.deepEqual(ada.complaints, [])
  }
})

test('a blank room, or none, is a new one with a readable name in the URL', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  for (const path of ['/', '/?room=', '/?room=%20']) {
    const ada = await Person.open(t, browser, server, '', 'Ada', { path })
    await ada.connected()
    assert.match(ada.page.url(), /\?room=[a-z]+-[a-z]+-\d\d#codemirror$/)
    assert.deepEqual(ada.complaints, [])
  }
})

test('HTML in the names of people is shown as it is, in every editor', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const [mallory, ada] = [await Person.open(t, browser, server, 'r', SCRIPT), await Person.open(t, browser, server, 'r', 'Ada')]
  const names = { codemirror: '.cm-ySelectionInfo', tiptap: '.collaboration-carets__label', quill: '.ql-cursor-name', monaco: '.yRemoteSelectionHead', whiteboard: '.pointer span' }
  await ada.page.getByRole('button', { name: `Follow ${SCRIPT}` }).waitFor()
  for (const editor of Object.keys(TITLES)) {
    await Promise.all([mallory.go(editor), ada.go(editor)])
    if (editor === 'whiteboard') await mallory.page.mouse.move(500, 400)
    else await mallory.type(editor, 'x')
    const name = ada.page.locator(`#panel-${editor} ${names[editor]}`).first()
    await name.waitFor({ state: 'attached' })
    if (editor === 'monaco') assert.equal(JSON.parse(await name.evaluate(element => getComputedStyle(element, '::after').content)), SCRIPT)
    else assert.equal(await name.textContent(), SCRIPT)
  }
  for (const person of [mallory, ada]) {
    assert.ok(await isUnharmed(person))
    assert.deepEqual(person.complaints, [])
  }
})

test('awareness that makes no sense leaves everybody else working', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const [ada, grace] = [await Person.open(t, browser, server, 'r', 'Ada'), await Person.open(t, browser, server, 'r', 'Grace')]
  const mallory = await browser.newPage()
  await mallory.goto(`${server.http}/healthz`)
  const strange = [
    null, 5, 'x', [], {}, { user: null }, { user: { name: 5, color: 7 } }, { user: 'x', cursor: 'y', selection: 1 },
    { user: { name: SCRIPT, color: 'red;background:url(http://example.com/)' }, cursor: { anchor: 1, head: [] }, selection: { anchor: { item: 'x' }, head: {} } },
    { user: { name: 'M', color: '#ff0000' }, cursor: { anchor: { item: { client: -1, clock: 1e300 } }, head: { type: {} } }, viewport: { at: 5, offset: 'x' }, pointer: { x: 'x', y: null }, editor: '<b>' },
    { user: { name: '\u0000\n"}\\', color: '#00ff00', page: 'p' }, cursor: { anchor: { tname: 'codemirror', assoc: 0 }, head: { tname: 'codemirror', assoc: 0 } }, pointer: { x: 1e308, y: -1e308 } },
  ]
  for (const editor of ['people', ...Object.keys(TITLES)]) {
    if (editor !== 'people') await Promise.all([ada.go(editor), grace.go(editor)])
    await mallory.evaluate(async ({ url, frames }) => {
      const socket = new WebSocket(url)
      await new Promise(resolve => { socket.onopen = resolve })
      for (const frame of frames) socket.send(Uint8Array.from(frame))
    }, { url: `${server.url}/r/${editor}`, frames: strange.map((state, index) => awareness(1000 + index, state)) })
    if (editor === 'people' || editor === 'whiteboard') continue
    await until('Mallory is there', () => ada.page.locator('.panel').evaluate(() => true))
    await ada.type(editor, 'still ')
    await grace.type(editor, 'here')
    await until(`${editor} works`, async () => /still/.test(await grace.text(editor)) && /here/.test(await ada.text(editor)))
  }
  for (const person of [ada, grace]) {
    assert.ok(await isUnharmed(person))
    assert.deepEqual(person.complaints, [])
  }
})

/** An awareness message with one state. */
function awareness (client, state) {
  const update = encoding.encode(encoder => {
    encoding.writeVarUint(encoder, 1)
    encoding.writeVarUint(encoder, client)
    encoding.writeVarUint(encoder, 1)
    encoding.writeVarString(encoder, JSON.stringify(state))
  })
  return [...encoding.encode(encoder => {
    encoding.writeVarUint(encoder, 1)
    encoding.writeVarUint8Array(encoder, update)
  })]
}

for (const [code, words] of [[4401, 'The server does not accept who you are: the token in this link is missing, wrong or too old.'], [4403, 'You are not allowed to open this room.'], [1009, 'The server refuses what was written on this page']]) {
  test(`a server that closes with ${code} is not asked again, and the page says what to do`, async t => {
    const server = await Server.start(t)
    const browser = await launch(t)
    let attempts = 0
    const ada = await Person.open(t, browser, server, 'r', 'Ada', {
      path: '/?room=r&token=secret',
      prepare: page => page.routeWebSocket(/\/codemirror/, socket => {
        attempts += 1
        assert.match(socket.url(), /\?token=secret$/)
        socket.send(Buffer.from([2, 0, SCRIPT.length, ...Buffer.from(SCRIPT)]))
        socket.close({ code, reason: 'no' })
      }),
    })
    await ada.says(ada.connection, /^Refused$/)
    await ada.says(ada.banner, words)
    await ada.says(ada.banner, SCRIPT)
    await ada.type('codemirror', 'kept all the same')
    await ada.says(ada.saved, 'kept in this browser')
    assert.equal(attempts, 1)
    assert.doesNotMatch(await ada.page.getByRole('link', { name: 'Second window' }).getAttribute('href'), /secret/)
    assert.ok(await isUnharmed(ada))
    assert.deepEqual(ada.complaints, [])
    await ada.reload()
    await until('it was kept', async () => await ada.text('codemirror').catch(() => '') === 'kept all the same')
  })
}

test('a server that is too old to say what is saved is told from one that does', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada', {
    prepare: page => page.routeWebSocket(/\/codemirror$/, socket => {
      const upstream = socket.connectToServer()
      socket.onMessage(message => { if (message[0] !== 102) upstream.send(message) })
    }),
  })
  await ada.connected()
  await ada.type('codemirror', 'x')
  await ada.says(ada.banner, 'does not say when they are on disk: it is not coscribe, or too old')
  await ada.says(ada.saved, 'This server does not say what is saved')
  assert.deepEqual(ada.complaints, [])
})

test('a server that answers, but does not open the document, is told from one that is not there', async t => {
  const server = await Server.start(t, '--max-connections', '1')
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada', { expected: complaint => /WebSocket connection to|503/.test(complaint) })
  await ada.says(ada.banner, 'The server is there, but does not open this document', 40)
  await ada.type('codemirror', 'kept')
  await ada.says(ada.saved, /^4 changes waiting, kept in this browser$/)
  assert.deepEqual(ada.complaints, [])
})

test('a server that has no place for another document says so', async t => {
  const server = await Server.start(t, '--max-rooms', '1')
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada')
  await ada.says(ada.banner, 'The server is at its limit. It says: “too many documents are open')
  await ada.type('codemirror', 'kept')
  await ada.says(ada.saved, /^4 changes waiting, kept in this browser$/)
  assert.deepEqual(ada.complaints, [])
})
