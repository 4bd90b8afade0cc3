// “Saved” means on disk.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server, until } from '../../server/tests/clients/harness.mjs'
import { launch, Person } from './browser.mjs'

test('what the page says is saved survives a server that is killed in that moment', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada', { expected: () => true })
  await ada.connected()
  await ada.type('codemirror', 'on the disk')
  await ada.isSaved()
  await server.kill()
  await ada.context.close() // so that nobody brings it back
  await server.start()
  const grace = await Person.open(t, browser, server, 'r', 'Grace')
  await until('Grace reads it', async () => await grace.text('codemirror') === 'on the disk')
})

test('others see a change before it is saved, and the page says “saved” only after the log was synced', async t => {
  const server = await Server.start(t, '--commit-window', '3s')
  const browser = await launch(t)
  const [ada, grace] = [await Person.open(t, browser, server, 'r', 'Ada'), await Person.open(t, browser, server, 'r', 'Grace')]
  for (const person of [ada, grace]) await person.connected()
  await ada.isSaved()
  const begun = Date.now()
  await ada.type('codemirror', 'x')
  await until('Grace sees it', async () => await grace.text('codemirror') === 'x')
  assert.ok(Date.now() - begun < 3000, 'Grace waited for the disk')
  assert.match(await ada.saved.textContent(), /^1 change waiting$/)
  await ada.isSaved()
  assert.ok(Date.now() - begun >= 2900, 'saved before the log was synced')
  assert.deepEqual([...ada.complaints, ...grace.complaints], [])
})

test('“saved” is what the server answers: while the answer is held back, changes wait', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const held = []
  let holding = false
  const ada = await Person.open(t, browser, server, 'r', 'Ada', {
    prepare: page => page.routeWebSocket(/\/codemirror$/, socket => {
      const upstream = socket.connectToServer()
      upstream.onMessage(message => {
        if (holding && message[0] === 102) held.push(() => socket.send(message))
        else socket.send(message)
      })
    }),
  })
  await ada.isSaved()
  holding = true
  await ada.type('codemirror', 'abc')
  await until('the server has answered', () => held.length > 0)
  await ada.says(ada.saved, /^3 changes waiting$/)
  await ada.page.getByRole('tab', { name: 'CodeMirror' }).and(ada.page.locator('.unsaved')).waitFor()
  for (const release of held) release()
  holding = false
  await ada.isSaved()
  assert.deepEqual(ada.complaints, [])
})
