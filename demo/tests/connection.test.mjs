// Without a connection, and after it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server, until } from '../../server/tests/clients/harness.mjs'
import { gone, launch, Person, sameText, TITLES, withBoth } from './browser.mjs'

for (const editor of Object.keys(TITLES).filter(editor => editor !== 'whiteboard')) {
  test(`${TITLES[editor]}: two people edit offline and converge when they are back`, async t => {
    const server = await Server.start(t)
    const browser = await launch(t)
    const [ada, grace] = [await Person.open(t, browser, server, 'r', 'Ada', { editor }), await Person.open(t, browser, server, 'r', 'Grace', { editor })]
    for (const person of [ada, grace]) await person.connected()
    await ada.type(editor, 'shared. ')
    await sameText(editor, [ada, grace], 'shared.')
    for (const person of [ada, grace]) {
      await person.isSaved()
      await person.cut()
      await person.says(person.connection, /^Offline$/)
      await person.says(person.banner, 'Edits are kept in this browser'.toLowerCase().slice(0, 14))
    }
    await ada.type(editor, 'of Ada ')
    await grace.type(editor, 'of Grace ')
    await ada.says(ada.saved, /^\d+ changes? waiting, kept in this browser$/)
    assert.ok(!(await ada.text(editor)).includes('Grace'))
    assert.ok(!(await grace.text(editor)).includes('Ada'))
    await ada.reconnect()
    await ada.isSaved()
    await grace.reconnect()
    await sameText(editor, [ada, grace], 'shared.', 'of Ada', 'of Grace')
    for (const person of [ada, grace]) {
      await person.isSaved()
      assert.ok(await person.banner.isHidden())
      assert.deepEqual(person.complaints, [])
    }
  })
}

/** Two people in a room, who both have y-websocket's client, or one of each kind. */
const PAIRS = {
  'y-websocket': async (t, browser, server, options) => {
    const people = [await Person.open(t, browser, server, 'r', 'Ada', options), await Person.open(t, browser, server, 'r', 'Grace', options)]
    for (const person of people) await person.connected()
    return people
  },
  'each kind of provider': withBoth
}

for (const [providers, pair] of Object.entries(PAIRS)) {
  test(`a server that is killed while people with ${providers} type, and comes back, has everything`, async t => {
    const server = await Server.start(t)
    const browser = await launch(t)
    const [ada, grace] = await pair(t, browser, server, { expected: gone })
    await ada.type('codemirror', 'before ')
    const typing = Promise.all([ada.type('codemirror', 'while Ada types a sentence', { delay: 40 }), grace.type('codemirror', 'while Grace types one', { delay: 40 })])
    await until('some was typed', async () => (await ada.text('codemirror')).length > 20)
    await server.kill()
    await typing
    for (const person of [ada, grace]) {
      await person.says(person.connection, /^(Reconnecting in \d+ s|Connecting…)$/)
      await person.says(person.banner, 'as soon as it is back')
    }
    await server.start()
    for (const person of [ada, grace]) {
      await person.connected()
      await person.isSaved()
    }
    await until('both have the same', async () => {
      const [one, other] = [await ada.text('codemirror'), await grace.text('codemirror')]
      return one === other && one.replace(/\s/g, '').length === 'before while Ada types a sentence while Grace types one'.replace(/\s/g, '').length
    })
    // And so has the server itself, for somebody who comes later.
    const edsger = await Person.open(t, browser, server, 'r', 'Edsger')
    await sameText('codemirror', [ada, edsger])
    for (const person of [ada, grace, edsger]) assert.deepEqual(person.complaints, [])
  })
}

test('the page and its document can be loaded again while there is no server', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada', { expected: gone })
  await ada.connected()
  await ada.type('codemirror', 'online. ')
  await ada.isSaved()
  await until('the page is kept', () => ada.page.evaluate(async () => {
    return navigator.serviceWorker.controller !== null && await caches.match('/') !== undefined &&
      await caches.match(performance.getEntriesByType('resource').find(({ name }) => /codemirror.*js$/.test(name)).name) !== undefined
  }))
  await server.kill()
  await ada.type('codemirror', 'offline. ')
  await ada.says(ada.saved, 'waiting')
  await ada.reload()
  await ada.ready('codemirror')
  await until('it is still there', async () => await ada.text('codemirror') === 'online. offline. ')
  await ada.type('codemirror', 'and more')
  await server.start()
  await ada.connected()
  await ada.isSaved()
  const grace = await Person.open(t, browser, server, 'r', 'Grace')
  await sameText('codemirror', [ada, grace], 'online. offline. and more')
  for (const person of [ada, grace]) assert.deepEqual(person.complaints, [])
})

test('a connection that was cut stays cut over a reload, and edits made meanwhile are sent', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada')
  await ada.connected()
  await ada.cut()
  await ada.type('codemirror', 'without a connection')
  await ada.reload()
  await ada.ready('codemirror')
  await ada.says(ada.connection, /^Offline$/)
  await until('it is still there', async () => await ada.text('codemirror') === 'without a connection')
  await ada.reconnect()
  await ada.isSaved()
  const grace = await Person.open(t, browser, server, 'r', 'Grace')
  await sameText('codemirror', [ada, grace], 'without a connection')
  for (const person of [ada, grace]) assert.deepEqual(person.complaints, [])
})

test('attempts to reconnect come later and later, and never at the same time for all', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const attempts = []
  const ada = await Person.open(t, browser, server, 'r', 'Ada', { expected: gone })
  ada.page.on('websocket', socket => { if (socket.url().endsWith('/codemirror')) attempts.push(Date.now()) })
  await ada.connected()
  await server.kill()
  await until('five attempts', () => attempts.length >= 5, 40)
  const pauses = attempts.slice(1).map((at, index) => at - attempts[index])
  assert.ok(pauses[3] > pauses[0] * 2, `${pauses}`)
  assert.ok(pauses.every((pause, index) => pause < 2 ** (index + 1) * 500 + 1500), `${pauses}`)
  assert.notEqual(new Set(pauses.map((pause, index) => (pause / 2 ** index).toFixed(0))).size, 1, 'no jitter')
  await ada.says(ada.connection, /^Reconnecting in \d+ s$/)
  await server.start()
  await ada.banner.getByRole('button', { name: 'Try now' }).click()
  await ada.connected()
})
