// What the page shows and says without a connection.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server, until } from '../../server/tests/clients/harness.mjs'
import { gone, launch, Person, TITLES } from './browser.mjs'

/** Waits until the service worker is in charge and has kept these files. */
async function keeps ({ page }, pattern) {
  await until('the page is kept', () => page.evaluate(async pattern => {
    const files = (await (await fetch('/files.json')).json()).filter(file => new RegExp(pattern).test(file))
    const kept = await Promise.all(['/', ...files].map(file => caches.match(file)))
    return navigator.serviceWorker.controller !== null && kept.every(file => file !== undefined)
  }, pattern), 60)
}

test('without a connection, editors open that were never opened before', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada', { expected: gone })
  await keeps(ada, '.')
  await server.kill()
  await ada.reload()
  for (const editor of [...Object.keys(TITLES), 'monaco']) await ada.go(editor)
  await ada.type('monaco', 'by hand')
  await until('it is there', async () => await ada.text('monaco') === 'by hand')
  assert.deepEqual(ada.complaints, [])
})

test('an editor that was not loaded says so, and opens when the server is back', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  // Where bytes cost money, nothing is loaded in advance.
  const prepare = page => page.addInitScript(() => Object.defineProperty(navigator, 'connection', { value: { saveData: true } }))
  const ada = await Person.open(t, browser, server, 'r', 'Ada', { expected: gone, prepare })
  await keeps(ada, 'index|codemirror')
  await server.kill()
  await ada.reload()
  await ada.ready('codemirror')
  await ada.page.getByRole('tab', { name: 'Monaco' }).click()
  const note = ada.page.locator('#panel-monaco .unloaded')
  await ada.says(note, 'there is no connection to load it now')
  assert.ok(!/Unable|Error|assets/.test(await note.textContent()))
  await server.start()
  await note.getByRole('button', { name: 'Load the page again' }).click({ timeout: 60_000 })
  await ada.ready('monaco')
  await ada.connected()
  assert.deepEqual(ada.complaints, [])
})

test('a document that was never loaded does not look empty, and one that is empty does', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada', { expected: gone })
  await ada.connected()
  await keeps(ada, '.')
  await server.kill()
  await ada.reload()
  await ada.says(ada.banner, 'There is no connection to the server. Your edits are kept')
  await ada.page.getByRole('tab', { name: 'Tiptap' }).click()
  await ada.says(ada.banner, 'This document was never loaded in this browser: what is in it appears when the server is reached.')
  await server.start()
  await ada.connected()
  await ada.banner.waitFor({ state: 'hidden' })
  assert.deepEqual(ada.complaints, [])
})

test('words about saving are about this person’s changes, and true after a reload and offline', async t => {
  const server = await Server.start(t)
  const browser = await launch(t)
  const ada = await Person.open(t, browser, server, 'r', 'Ada', { expected: gone })
  await ada.connected()
  await keeps(ada, 'index|codemirror')
  await ada.type('codemirror', 'saved')
  await ada.isSaved()
  const mood = () => ada.saved.getAttribute('data-mood')
  assert.equal(await mood(), 'good')
  await ada.cut()
  await ada.says(ada.saved, /^Your changes were saved on disk at \d\d:\d\d:\d\d$/)
  assert.equal(await mood(), 'calm')
  await ada.type('codemirror', ' not')
  await ada.says(ada.saved, /^4 changes waiting, kept in this browser$/)
  await ada.reload()
  await ada.ready('codemirror')
  await ada.says(ada.saved, /^Your changes are kept in this browser$/)
  assert.equal(await mood(), 'calm')
  await ada.reconnect()
  await ada.isSaved()
  assert.deepEqual(ada.complaints, [])
})
