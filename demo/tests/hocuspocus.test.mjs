// A window that uses Hocuspocus: what is saved, what the server refuses, and what goes over the wire.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as encoding from 'lib0/encoding'
import { Server, until } from '../../server/tests/clients/harness.mjs'
import { gone, HOCUSPOCUS, launch, Person, sameText, withBoth } from './browser.mjs'

const SYNC = 0
const AWARENESS = 1
const AUTH = 2
const CLOSE = 7
const SYNC_STATUS = 8

/** A message of Hocuspocus for a document. */
function message (document, type, ...rest) {
  return Buffer.from(encoding.encode(encoder => {
    encoding.writeVarString(encoder, document)
    encoding.writeVarUint(encoder, type)
    for (const part of rest) typeof part === 'string' ? encoding.writeVarString(encoder, part) : encoding.writeVarUint(encoder, part)
  }))
}

const isOf = (frame, document, type) => frame.subarray(0, document.length + 2).equals(message(document, type))

/** Routes the socket of Hocuspocus. */
const route = handler => page => page.routeWebSocket(url => url.pathname === '/', handler)

test('with Hocuspocus, too, “saved” comes after the log was synced', async t => {
  const server = await Server.start(t, '--commit-window', '3s')
  const browser = await launch(t)
  const [ada, grace] = await withBoth(t, browser, server)
  await grace.isSaved()
  const begun = Date.now()
  await grace.type('codemirror', 'x')
  await until('Ada sees it', async () => await ada.text('codemirror') === 'x')
  assert.ok(Date.now() - begun < 3000, 'Ada waited for the disk')
  assert.match(await grace.saved.textContent(), /^1 change waiting$/)
  await grace.isSaved()
  assert.ok(Date.now() - begun >= 2900, 'saved before the log was synced')
  assert.deepEqual([...ada.complaints, ...grace.complaints], [])
})

test('with Hocuspocus, changes wait until each is confirmed', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const held = []
  let holding = false
  const ada = await Person.open(t, browser, server, 'r', 'Ada', {
    ...HOCUSPOCUS,
    prepare: route(socket => {
      const upstream = socket.connectToServer()
      upstream.onMessage(frame => {
        if (holding && isOf(frame, 'r/codemirror', SYNC_STATUS)) held.push(() => socket.send(frame))
        else socket.send(frame)
      })
    }),
  })
  await ada.isSaved()
  holding = true
  await ada.type('codemirror', 'abc')
  await until('the server has confirmed all three', () => held.length === 3)
  await ada.says(ada.saved, /^3 changes waiting$/)
  held.shift()()
  await ada.says(ada.saved, /^2 changes waiting$/)
  for (const release of held.splice(0)) release()
  await ada.isSaved()

  // What is written offline is one message; nothing is saved before that is.
  await ada.cut()
  await ada.type('codemirror', 'defg')
  await ada.reconnect()
  await ada.connected()
  await until('the server has confirmed it', () => held.length === 1)
  await ada.type('codemirror', 'h')
  await until('the server has confirmed that', () => held.length === 2)
  await ada.says(ada.saved, /^5 changes waiting$/)
  held.shift()()
  assert.match(await ada.saved.textContent(), /waiting$/)
  held.shift()()
  await ada.isSaved()
  assert.deepEqual(ada.complaints, [])
})

test('a document that is denied to Hocuspocus is refused with the reason, and the others go on', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  let denies = true
  const reason = '<img src=x onerror=hacked=1>'
  const ada = await Person.open(t, browser, server, 'r', 'Ada', {
    path: '/?room=r&provider=hocuspocus&token=secret',
    prepare: route(socket => {
      const upstream = socket.connectToServer()
      socket.onMessage(frame => {
        if (isOf(frame, 'r/codemirror', AUTH)) assert.ok(frame.includes('secret'))
        if (denies && isOf(frame, 'r/codemirror', AUTH)) socket.send(message('r/codemirror', AUTH, 1, reason))
        else if (!(denies && isOf(frame, 'r/codemirror', SYNC)) && !(denies && isOf(frame, 'r/codemirror', AWARENESS))) upstream.send(frame)
      })
    }),
  })
  await ada.says(ada.connection, /^Refused$/)
  await ada.says(ada.banner, `The server does not open this document. The server says: “${reason}”.`)
  await ada.type('codemirror', 'kept')
  await ada.says(ada.saved, /^4 changes waiting, kept in this browser$/)
  await ada.go('quill')
  await ada.connected()
  await ada.go('codemirror')
  denies = false
  await ada.banner.getByRole('button', { name: 'Try again' }).click()
  await ada.connected()
  await ada.isSaved()
  assert.ok(await ada.page.evaluate(() => globalThis.hacked === undefined))
  assert.deepEqual(ada.complaints, [])
})

test('a document that the server closes for Hocuspocus is opened again, and the page says why', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const sockets = []
  const ada = await Person.open(t, browser, server, 'r', 'Ada', {
    ...HOCUSPOCUS,
    prepare: route(socket => {
      socket.connectToServer()
      sockets.push(socket)
    }),
  })
  await ada.connected()
  await ada.isSaved()
  sockets[0].send(message('r/codemirror', CLOSE, 'there is no room'))
  await ada.says(ada.banner, 'The server has closed this document. It says: “there is no room”.')
  await ada.connected()
  await ada.type('codemirror', 'x')
  await ada.isSaved()
  assert.equal(sockets.length, 1, 'the socket is as it was')
  sockets[0].close({ code: 1013, reason: 'too many' })
  await ada.says(ada.banner, 'The server is at its limit. It says: “too many”.')
  await ada.connected()
  await ada.isSaved()
  assert.equal(sockets.length, 2)
  assert.deepEqual(ada.complaints, [])
})

test('the page with Hocuspocus can be loaded again while there is no server', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada', { ...HOCUSPOCUS, expected: gone })
  await ada.connected()
  await ada.type('codemirror', 'online. ')
  await ada.isSaved()
  await until('the page is kept', () => ada.page.evaluate(async () => {
    const kept = pattern => caches.match(performance.getEntriesByType('resource').find(({ name }) => pattern.test(name)).name)
    return navigator.serviceWorker.controller !== null && await caches.match('/') !== undefined &&
      await kept(/codemirror.*js$/) !== undefined && await kept(/hocuspocus.*js$/) !== undefined
  }))
  await server.kill()
  await ada.reload()
  await ada.ready('codemirror')
  await ada.type('codemirror', 'offline')
  await server.start()
  await ada.connected()
  await ada.isSaved()
  const grace = await Person.open(t, browser, server, 'r', 'Grace')
  await sameText('codemirror', [ada, grace], 'online. offline')
  for (const person of [ada, grace]) assert.deepEqual(person.complaints, [])
})

test('the curious see what goes over the wire of Hocuspocus, document by document', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const [ada, grace] = await withBoth(t, browser, server)
  await grace.page.getByText('Under the hood').click()
  const value = name => grace.page.locator('.panel dl div').filter({ hasText: name }).locator('dd').textContent()
  const typing = grace.type('codemirror', 'something to measure, for some seconds', { delay: 60 })
  await until('messages go out, and are confirmed', async () => parseInt(await value('Messages out')) > 0 && parseInt(await value('Messages in')) > 0)
  await typing
  await until('the numbers are there', async () => await value('Clients in it') === '2' && /ms$/.test(await value('Round trip')) && parseInt(await value('Size')) > 20)
  await grace.go('quill')
  await until('they are those of another document', async () => await value('Document') === 'r/quill' && parseInt(await value('Sent')) < 500)
  assert.deepEqual([...ada.complaints, ...grace.complaints], [])
})
