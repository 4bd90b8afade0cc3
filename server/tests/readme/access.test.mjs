// The lines of docs/access.md as they stand there, except for addresses and times.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import test from 'node:test'
import { pathToFileURL } from 'node:url'
import WebSocket from 'ws'
import { Server, until } from '../clients/harness.mjs'
import { fileOf, lines, Person } from './lines.mjs'

const PAGE = 'docs/access.md'
const SECRET = randomBytes(32).toString('hex')
const FLAGS = ['--access-secret', SECRET, '--access-leeway', '0s']
const SECONDS = 5 // a token is valid for so long
const TRY_AGAIN = "process.on('message', ({ isAllowed }) => { if (isAllowed) tryAgain() })"

/** Signs tokens with the page's lines, which read and write documents below `team`, or others. */
async function signer (t) {
  process.env.COSCRIBE_ACCESS_SECRET = SECRET
  const code = lines(PAGE, 'Sign a token, in Node', 'js', { "'1h'": `'${SECONDS}s'` })
  const { tokenFor } = await import(pathToFileURL(fileOf(t, 'sign.mjs', code)))
  return (documents = 'team/*') => tokenFor({ id: 'user-17', name: 'Ada' }, [documents])
}

/** The application's endpoint, which gives out these tokens; gone after the test. */
async function endpoint (t, token) {
  const server = http.createServer(async (_, response) => response.end(await token()))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => server.close())
  return `http://127.0.0.1:${server.address().port}/`
}

/** A client with the lines below these headings, one after the other, and a line of the test. */
async function join (t, server, headings, token, more = '') {
  const url = await endpoint(t, token)
  const known = { 'ws://localhost:1234': server.url, "'/collaboration-token'": `'${url}'`, '50 * 60 * 1000': '500' }
  const code = headings.map(heading => {
    const shown = lines(PAGE, heading, 'js')
    return Object.entries(known).reduce((code, [from, to]) => code.replaceAll(from, () => to), shown)
  })
  const client = new Person(t, fileOf(t, 'client.mjs', [...code, more, 'export { provider }'].join('\n')))
  await client.opened()
  return client
}

/** The value of a metric without labels. */
async function metric (server, name) {
  const text = await (await fetch(`${server.http}/metrics`)).text()
  return Number(text.match(new RegExp(`^${name} (\\d+)$`, 'm'))[1])
}

for (const heading of ['y-websocket, with a token', 'y-websocket, with a subprotocol', 'Hocuspocus, with a token']) {
  test(`${heading}: two people write together`, async t => {
    const [server, token] = [await Server.start(t, ...FLAGS), await signer(t)]
    const one = await join(t, server, [heading], token)
    one.type('from the first')
    const two = await join(t, server, [heading], token)
    await two.sees('from the first')
    two.type(', and the second')
    await one.sees('from the first, and the second')
  })
}

for (const headings of [['y-websocket, with a token', 'y-websocket, with a new token'], ['Hocuspocus, with a token']]) {
  test(`${headings.at(-1)}: it stays when its first has expired, and comes back with another`, async t => {
    const [server, token] = [await Server.start(t, ...FLAGS), await signer(t)]
    const client = await join(t, server, headings, token)
    const expired = Date.now() + SECONDS * 1000
    await until('its first token has expired, and others have come', async () => {
      return Date.now() > expired && await metric(server, 'coscribe_tokens_refreshed_total') > 1
    })
    assert.equal(await metric(server, 'coscribe_access_changed_total'), 0, 'its access never ended')
    await server.kill()
    client.type('from offline')
    await server.start()
    const reader = await join(t, server, headings, token)
    await reader.sees('from offline')
  })
}

test('y-websocket, when it is refused: it tries a new token, and shows why where that does not help', async t => {
  const [server, token] = [await Server.start(t, ...FLAGS), await signer(t)]
  const headings = ['y-websocket, with a token', 'y-websocket, with a new token', 'y-websocket, when it is refused']
  const bad = ['nonsense']
  const client = await join(t, server, headings, () => bad.pop() ?? token())
  client.type('from Ada')
  await (await join(t, server, headings, token)).sees('from Ada')
  await (await join(t, server, headings, () => 'nonsense')).sees('refused: the token is not valid')
  await (await join(t, server, headings, () => token('others/*'))).sees('refused: the token does not allow this document')
})

test('Hocuspocus, when it is refused: it shows why, and can try again', async t => {
  const [server, token] = [await Server.start(t, ...FLAGS), await signer(t)]
  const headings = ['Hocuspocus, with a token', 'Hocuspocus, when it is refused']
  const bad = ['nonsense']
  const client = await join(t, server, headings, () => bad.pop() ?? token(), TRY_AGAIN)
  await client.sees('refused: the token is not valid')
  client.type('from Ada')
  client.page.send({ isAllowed: true })
  await (await join(t, server, ['Hocuspocus, with a token'], token)).sees('from Ada')
})

test('An application that is asked, in Node: it lets its members in, and nobody else', async t => {
  const listens = ".listen(0, '127.0.0.1', function () { console.log(this.address().port) })"
  const code = lines(PAGE, 'An application that is asked, in Node', 'js', { ".listen(3000, '127.0.0.1')": listens })
  const env = { ...process.env, ASK_SECRET: SECRET }
  const application = spawn(process.execPath, [fileOf(t, 'application.mjs', code)], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => application.kill())
  const [port] = await once(application.stdout, 'data')
  const replacements = { ':3000/': `:${Number(port)}/`, '/etc/coscribe/ask-secret': fileOf(t, 'secret', SECRET) }
  const settings = fileOf(t, 'coscribe.toml', lines(PAGE, 'Its settings', 'toml', replacements))
  const server = await Server.start(t, '--config', settings)
  const outcome = async (document, cookie) => {
    const socket = new WebSocket(`${server.url}/${document}`, { headers: { cookie } })
    t.after(() => socket.terminate())
    return await Promise.race([
      once(socket, 'close').then(([code, reason]) => `${code} ${reason}`),
      once(socket, 'message').then(([message]) => message[0] === 2 ? new Promise(() => {}) : 'in')
    ])
  }
  assert.equal(await outcome('team/notes', 'sid=session-1'), 'in')
  assert.equal(await outcome('team/plan', 'sid=session-1'), '4403 you are not in this team')
  for (const cookie of ['sid=session-2', 'other=session-1']) assert.match(await outcome('team/notes', cookie), /^4401 /)
})
