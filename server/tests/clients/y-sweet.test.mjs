import assert from 'node:assert/strict'
import http from 'node:http'
import test from 'node:test'
import WebSocket from 'ws'
import { createDoc, DocumentManager, getOrCreateDocAndToken, YSweetError } from '@y-sweet/sdk'
import { Bare, connect, converged, message, PROVIDERS, syncMessage, synced, Y } from './clients.mjs'
import { Server, until } from './harness.mjs'
import { open } from './y-sweet.mjs'

const KEY = 'tests-have-a-key-that-everybody-knows'

/** A server with a key, and the back end of an application that has it. */
async function start (t, ...flags) {
  const server = await Server.start(t, '--y-sweet-key', KEY, ...flags)
  return { server, manager: manager(server) }
}

function manager (server, key = KEY) {
  return new DocumentManager(`ys://${key && `${key}@`}127.0.0.1:${server.port}/y-sweet`)
}

/** An update of a new document with this text. */
function updateOf (text) {
  const doc = new Y.Doc()
  doc.getText('text').insert(0, text)
  return Y.encodeStateAsUpdate(doc)
}

function textOf (update) {
  const doc = new Y.Doc()
  Y.applyUpdate(doc, update)
  return doc.getText('text').toString()
}

/** It hears enough, while there is nothing to hear: after more than 3 s without a message it would connect again. */
async function isKeptAlive (provider) {
  let heard = 0
  provider.websocket.addEventListener('message', () => heard++)
  await until('it has heard something three times', () => heard >= 3 || provider.happened.closed.length > 0)
}

async function isSaved (...providers) {
  await until('all is saved', () => providers.every(provider => !provider.hasLocalChanges))
}

/** The status with which a WebSocket is refused; nothing if it opens. */
async function refusedWith (url, headers = {}) {
  const socket = new WebSocket(url, { headers })
  return await new Promise(resolve => {
    socket.on('open', () => resolve(socket.terminate()))
    socket.on('error', error => resolve(Number(error.message.match(/\d+/)[0])))
  })
}

/** What the SDK makes of an answer. */
async function fails (promise, cause) {
  const error = await promise.then(() => assert.fail('it should fail'), error => error)
  assert.ok(error instanceof YSweetError, `${error}`)
  for (const [key, value] of Object.entries(cause)) assert.equal(error.cause[key], value, `${error}`)
}

test('two clients write the same document, and are saved', async t => {
  const { server, manager } = await start(t)
  const { docId } = await manager.createDoc('shared')
  assert.equal(docId, 'shared')
  const [one, two] = [1, 2].map(() => open(t, docId, () => manager.getClientToken(docId)))
  await synced(one, two)
  one.text.insert(0, 'one')
  two.text.insert(0, 'two')
  assert.ok(one.hasLocalChanges && two.hasLocalChanges)
  await isSaved(one, two)
  await server.kill()
  await server.start()
  assert.deepEqual([...textOf(await manager.getDocAsUpdate(docId))].sort(), [...'oneotw'].sort())
  await converged(one, two)
})

test('a client of y-websocket and one of y-sweet are in the same document', async t => {
  const { server, manager } = await start(t)
  const one = open(t, 'both', () => manager.getOrCreateDocAndToken('both'))
  const two = connect(t, PROVIDERS['y-websocket 3.1'], server, 'both')
  await synced(one, two)
  one.awareness.setLocalStateField('user', { name: 'One' })
  one.text.insert(0, 'one')
  two.text.insert(0, 'two')
  await converged(one, two)
  await until('one is seen', () => [...two.awareness.getStates().values()].some(state => state.user?.name === 'One'))
})

test('work from offline is not called saved before it is', async t => {
  const { server, manager } = await start(t, '--commit-window', '500ms')
  const { docId } = await manager.createDoc()
  const one = open(t, docId, () => manager.getClientToken(docId))
  await synced(one)
  await isSaved(one)
  one.disconnect()
  one.text.insert(0, 'offline')
  let savedAt = null
  one.on('local-changes', has => { if (!has) savedAt ??= Date.now() })
  const back = Date.now()
  one.connect()
  await until('it says so', () => savedAt !== null)
  await server.kill()
  assert.ok(savedAt - back >= 400, `saved within ${savedAt - back} ms, and a commit takes 500`)
  await server.start()
  assert.equal(textOf(await manager.getDocAsUpdate(docId)), 'offline')
})

test('a token for reading shows what others write, and saves nothing', async t => {
  const { manager } = await start(t)
  const { docId } = await manager.createDocWithContent(updateOf('to be read'))
  const reader = open(t, docId, () => manager.getClientToken(docId, { authorization: 'read-only' }))
  await until('it reads', () => reader.text.toString() === 'to be read')
  assert.equal(reader.clientToken.authorization, 'read-only')
  reader.text.insert(0, 'not ')
  await isKeptAlive(reader)
  assert.deepEqual(reader.happened.closed, [])
  assert.ok(reader.hasLocalChanges, 'it is not saved')
  assert.equal(reader.status, 'connected')
  await manager.updateDoc(docId, updateOf('and more'))
  await until('it goes on reading', () => reader.text.toString().includes('and more'))
  assert.ok(!textOf(await manager.getDocAsUpdate(docId)).includes('not'))
})

test('a client for which nothing can be confirmed stays connected', async t => {
  const { manager } = await start(t)
  const { docId } = await manager.createDoc()
  const one = open(t, docId, () => manager.getClientToken(docId))
  await synced(one)
  await isSaved(one)
  const doc = new Y.Doc()
  doc.getText('text').insert(0, 'first')
  const first = Y.encodeStateVector(doc)
  doc.getText('text').insert(0, 'second')
  one.websocket.send(syncMessage(2, Y.encodeStateAsUpdate(doc, first))) // its beginning is missing
  one.text.insert(0, 'x')
  await isKeptAlive(one)
  assert.ok(one.hasLocalChanges)
  assert.deepEqual(one.happened.closed, [])
  one.websocket.send(syncMessage(2, Y.encodeStateAsUpdate(doc)))
  await isSaved(one)
})

test('without a valid token nobody comes in', async t => {
  const { server, manager } = await start(t)
  const [mine, other] = await Promise.all(['mine', 'other'].map(id => manager.getOrCreateDocAndToken(id)))
  const brief = await manager.getClientToken('mine', { validForSeconds: 1 })
  const status = async token => await refusedWith(`${mine.url}/mine${token === undefined ? '' : `?token=${token}`}`)
  assert.equal(await status(mine.token), undefined)
  await until('the brief token has expired', async () => await status(brief.token) === 401)
  for (const token of [undefined, '', 'x', other.token, brief.token, KEY, `${mine.token.slice(0, -3)}AAA`]) {
    assert.equal(await status(token), 401, token)
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const asked = await Promise.all([
      fetch(`${mine.baseUrl}/as-update`, { headers }),
      fetch(`${mine.baseUrl}/update`, { method: 'POST', body: updateOf('x'), headers })
    ])
    assert.deepEqual(asked.map(({ status }) => status), [401, 401], token)
  }
  assert.equal(await refusedWith(`${server.url}/y-sweet/elsewhere`), 404)
  assert.ok(!server.log.includes(KEY) && !server.log.includes(mine.token) && !server.log.includes(brief.token), server.log)
})

test('a connection ends with its token, and the client comes back with another', async t => {
  const { manager } = await start(t)
  const { docId } = await manager.createDoc()
  const one = open(t, docId, () => manager.getClientToken(docId, { validForSeconds: 3 }))
  await synced(one)
  await until('the token has expired', () => one.happened.closed.length > 0)
  assert.equal(one.happened.closed[0].code, 4401)
  one.text.insert(0, 'meanwhile')
  await until('it is back', () => one.happened.tokens > 1 && one.status === 'connected')
  await until('it has written', async () => textOf(await manager.getDocAsUpdate(docId)) === 'meanwhile')
})

test('the back end reads and writes documents', async t => {
  const { server, manager } = await start(t)
  assert.deepEqual(await manager.checkStore(), { ok: true })
  const { docId } = await manager.createDoc()
  assert.match(docId, /^[A-Za-z0-9_-]{20,}$/)
  assert.notEqual((await createDoc(`ys://${KEY}@127.0.0.1:${server.port}/y-sweet`)).docId, docId)
  assert.equal(textOf(await manager.getDocAsUpdate(docId)), '', 'it exists, and is empty')
  const editor = open(t, docId, () => manager.getClientToken(docId))
  await synced(editor)
  await manager.updateDoc(docId, updateOf('from the back end'))
  await until('the editor sees it', () => editor.text.toString() === 'from the back end')
  await server.kill()
  await server.start()
  assert.equal(textOf(await manager.getDocAsUpdate(docId)), 'from the back end')
  const large = 'x'.repeat(3 << 20)
  await manager.updateDoc('large', updateOf(large)).then(() => assert.fail(), () => {})
  await manager.createDoc('large')
  await manager.updateDoc('large', updateOf(large))
  assert.equal(textOf(await manager.getDocAsUpdate('large')), large)
})

test('what was created is there after a crash, and a checkpoint', async t => {
  const { server, manager } = await start(t, '--grace', '0s')
  await manager.createDoc('kept')
  await server.kill()
  await server.start()
  assert.equal(textOf(await manager.getDocAsUpdate('kept')), '')
  const rooms = async () => (await (await fetch(`${server.http}/metrics`)).text()).match(/^coscribe_rooms (\d+)/m)[1]
  await until('its room is closed, after a checkpoint', async () => await rooms() === '0')
  await server.terminate()
  await server.start()
  assert.equal((await manager.getClientToken('kept')).docId, 'kept')
  await manager.createDoc('kept')
})

test('older SDKs ask for documents with the key', async t => {
  const { server, manager } = await start(t)
  await manager.createDoc('old')
  const headers = { authorization: `Bearer ${KEY}` }
  const url = `${server.http}/y-sweet/doc/old`
  assert.equal((await fetch(`${url}/update`, { method: 'POST', body: updateOf('old'), headers })).status, 200)
  const answer = await fetch(`${url}/as-update`, { headers })
  assert.equal(textOf(new Uint8Array(await answer.arrayBuffer())), 'old')
  assert.equal((await fetch(`${url}/as-update`)).status, 401)
})

test('errors are those of the SDK', async t => {
  const { server, manager } = await start(t, '--max-message-bytes', '64KiB')
  const call = (way, ...args) => manager[way](...args)
  await fails(getOrCreateDocAndToken(`ys://127.0.0.1:${server.port}/y-sweet`), { code: 'NoAuthProvided' })
  await fails(getOrCreateDocAndToken(`ys://another-key-than-ours@127.0.0.1:${server.port}/y-sweet`), { code: 'InvalidAuthProvided' })
  await fails(call('getClientToken', 'never-created'), { code: 'ServerError', status: 404, message: 'Not Found' })
  await fails(call('getDocAsUpdate', 'never-created'), { code: 'ServerError', status: 404 })
  await fails(call('createDoc', 'no/id'), { code: 'ServerError', status: 400 })
  await fails(call('createDoc', 'x'.repeat(1025)), { code: 'ServerError', status: 400 })
  const { docId } = await manager.createDoc()
  await fails(call('getClientToken', docId, { validForSeconds: 0 }), { code: 'ServerError', status: 400 })
  await fails(call('getClientToken', docId, { validForSeconds: 3e9 }), { code: 'ServerError', status: 400 })
  await fails(call('getClientToken', docId, { authorization: 'everything' }), { code: 'ServerError', status: 400 })
  await fails(call('updateDoc', docId, Uint8Array.of(1, 2, 3)), { code: 'ServerError', status: 400 })
  await fails(call('updateDoc', docId, new Uint8Array(65 << 10)), { code: 'ServerError', status: 413 })
  const reader = await manager.getDocConnection(docId, { authorization: 'read-only' })
  await fails(reader.updateDoc(updateOf('x')), { code: 'ServerError', status: 403 })
  assert.equal(textOf(await reader.getAsUpdate()), '')
  const metrics = await (await fetch(`${server.http}/metrics`)).text()
  for (const reason of ['unauthorized', 'no_document', 'request', 'too_large', 'read_only', 'policy']) {
    assert.match(metrics, new RegExp(`coscribe_rejected_total{reason="${reason}"} [1-9]`))
  }
  await server.kill()
  await fails(call('createDoc'), { code: 'ServerRefused', port: server.port })
})

test('without a key only this machine is served, under its own name', async t => {
  const server = await Server.start(t)
  const manager_ = manager(server, '')
  const token = await manager_.getOrCreateDocAndToken('local')
  const one = open(t, 'local', async () => token)
  await synced(one)
  const read = await manager_.getDocConnection('local', { authorization: 'read-only' })
  await fails(read.updateDoc(updateOf('x')), { code: 'ServerError', status: 403 })
  const status = headers => new Promise((resolve, reject) => {
    const request = http.request(`${server.http}/y-sweet/doc/new`, { method: 'POST', headers }, response => resolve(response.resume().statusCode))
    request.on('error', reject).end('{}')
  })
  assert.equal(await status({}), 200)
  assert.equal(await status({ host: 'localhost:1' }), 200)
  assert.equal(await status({ host: 'docs.example' }), 401)
  assert.equal(await status({ 'x-forwarded-for': '203.0.113.9' }), 401)
  assert.equal(await status({ origin: 'https://elsewhere.example' }), 401)
  assert.equal(await refusedWith(`${server.url}/y-sweet/d/local/ws/local`, { host: 'docs.example' }), 401)
})

test('addresses are those that the back end has used, or its proxy', async t => {
  const { server } = await start(t)
  const ask = async headers => await new Promise((resolve, reject) => {
    const options = { method: 'POST', headers: { authorization: `Bearer ${KEY}`, ...headers } }
    http.request(`${server.http}/y-sweet/doc/here/auth`, options, async response => {
      let text = ''
      for await (const chunk of response) text += chunk
      resolve(JSON.parse(text))
    }).on('error', reject).end()
  })
  await manager(server).createDoc('here')
  const { url, baseUrl } = await ask({ host: 'docs.example:8080' })
  assert.deepEqual([url, baseUrl], ['ws://docs.example:8080/y-sweet/d/here/ws', 'http://docs.example:8080/y-sweet/d/here'])
  const proxied = await ask({ 'x-forwarded-host': 'docs.example', 'x-forwarded-proto': 'https' })
  assert.deepEqual([proxied.url, proxied.baseUrl], ['wss://docs.example/y-sweet/d/here/ws', 'https://docs.example/y-sweet/d/here'])
})

test('a confirmation waits for the answer to the server\'s question', async t => {
  const server = await Server.start(t)
  const bare = await Bare.open(t, server, 'y-sweet/d/asked/ws/asked')
  bare.send(message(102, [7]))
  await bare.document() // what is asked for later is answered
  assert.ok(!bare.frames.some(frame => frame[0] === 102))
  bare.send(Uint8Array.of(0, 1, 2, 0, 0))
  await until('it is confirmed', () => bare.frames.some(frame => frame[0] === 102))
})
