// Who gets in and who does not, and what happens to those whose access changes while they are connected.

import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import http from 'node:http'
import path from 'node:path'
import test from 'node:test'
import WebSocket from 'ws'
import { Bare, connect, converged, PROVIDERS, synced, Y } from './clients.mjs'
import { Server, until } from './harness.mjs'
import { open, socketOf, VERSIONS } from './hocuspocus.mjs'
import { Application, inSeconds, SECRET, sign } from './tokens.mjs'

const KEYS = ['--access-secret', SECRET]
const writer = (subject, claims) => sign({ sub: subject, write: 'team/**', ...claims })
const reader = (subject, claims) => sign({ sub: subject, read: 'team/**', ...claims })

/** A socket for a document with this token, or with other options; `denied` is what it was told. */
function knock (t, server, name, { token, query = token && `?token=${token}`, protocols = [], headers = {} } = {}) {
  const visitor = Object.create(Bare.prototype)
  const socket = new WebSocket(`${server.url}/${name}${query ?? ''}`, protocols, { headers, perMessageDeflate: false })
  t.after(() => socket.terminate())
  Object.assign(visitor, { socket, frames: [], isClosed: false, status: null })
  socket.on('message', frame => visitor.frames.push(new Uint8Array(frame)))
  socket.on('unexpected-response', (_, response) => { visitor.status = response.statusCode; socket.terminate() })
  socket.on('error', () => {})
  let end
  socket.on('close', (code, reason) => {
    visitor.isClosed = true
    end = { code, reason: reason.toString() }
  })
  Object.defineProperty(visitor, 'closed', { get: async () => {
    await until('the connection is closed', () => visitor.isClosed)
    return end
  } })
  return visitor
}

const says = (frames, type, kind) => frames.filter(frame => frame[0] === type && frame[1] === kind)
const words = frame => Buffer.from(frame.slice(3)).toString()

/** The status of a request with these headers, of which fetch would not send all. */
function status (url, headers) {
  return new Promise((resolve, reject) => http.get(url, { headers }, response => {
    response.resume()
    resolve(response.statusCode)
  }).on('error', reject))
}

async function api (server, path, body, key) {
  const headers = { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) }
  const response = await fetch(`${server.http}/api/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
  return { status: response.status, body: await response.json() }
}

test('a token that is not sound lets nobody in, and it is said why', async t => {
  const server = await Server.start(t, ...KEYS, '--access-issuer', 'https://app.example')
  const iss = 'https://app.example'
  const sound = { sub: 'ann', write: 'team/**', iss }
  const { privateKey } = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 })
  for (const [token, code, reason] of [
    [undefined, 4401, /token is needed/],
    ['nonsense', 4401, /not valid/],
    [sign(sound, { secret: 'another secret of more than thirty-two bytes' }), 4401, /not valid/],
    [sign({ ...sound, exp: inSeconds(-60) }), 4401, /expired/],
    [sign({ ...sound, nbf: inSeconds(60) }), 4401, /not valid yet/],
    [sign({ ...sound, aud: 'another' }), 4401, /audience/],
    [sign({ ...sound, iss: 'https://elsewhere.example' }), 4401, /issuer/],
    [sign(sound, { alg: 'HS512' }), 4401, /not valid/],
    [sign(sound, { alg: 'RS256', key: privateKey }), 4401, /not valid/],
    [sign(sound, { alg: 'none' }), 4401, /not valid/],
    [sign({ ...sound, write: 'others/**' }), 4403, /./]
  ]) {
    const visitor = knock(t, server, 'team/plan', { token })
    const closed = await visitor.closed
    assert.equal(closed.code, code, JSON.stringify([token, closed]))
    assert.match(closed.reason, reason)
    const told = says(visitor.frames, 2, 0)
    assert.equal(told.length, 1, 'unmodified clients print what was denied')
    assert.match(words(told[0]), reason)
    assert.equal(visitor.frames.length, 1, 'and nothing of the document')
  }
  const metrics = await (await fetch(`${server.http}/metrics`)).text()
  assert.match(metrics, /coscribe_denials_total\{reason="token_expired"\} 1/)
  assert.match(metrics, /coscribe_rooms 0/)
})

test('a token may stand in the URL, a header, a subprotocol or a cookie, and is in no log', async t => {
  const server = await Server.start(t, ...KEYS, '--log', 'debug', '--access-token-cookie', 'session')
  const token = writer('ann')
  for (const shown of [
    { token },
    { headers: { authorization: `Bearer ${token}` } },
    { protocols: ['coscribe', `coscribe.token.${token}`] },
    { headers: { cookie: `a=b; session=${token}` } }
  ]) {
    const visitor = knock(t, server, 'team/plan', shown)
    await visitor.opened()
    assert.equal(visitor.socket.protocol, shown.protocols ? 'coscribe' : '')
    await visitor.acknowledged([7])
  }
  await knock(t, server, 'team/plan', { token: `${token}x` }).closed
  await knock(t, server, 'other', { token }).closed
  assert.equal(await status(`${server.http}/metrics`, { host: 'docs.example', authorization: `Bearer ${token}` }), 401)
  const part = token.split('.')[1]
  assert.ok(!server.log.includes(part), 'no token in the log')
  assert.ok(!(await (await fetch(`${server.http}/metrics`)).text()).includes(part))
  assert.ok(!server.log.includes(SECRET))
})

for (const [number, version] of Object.entries(VERSIONS)) {
  test(`provider ${number}: documents are granted and denied one by one, and a denied one can be tried again`, async t => {
    const server = await Server.start(t, ...KEYS)
    const socket = socketOf(t, version, server)
    const mine = open(t, version, socket, 'team/mine', { token: writer('ann') })
    const read = open(t, version, socket, 'team/read', { token: reader('ann') })
    const others = open(t, version, socket, 'other/one', { token: writer('ann') })
    const wrong = open(t, version, socket, 'team/wrong', { token: 'nonsense' })
    await synced(mine, read)
    await until('both are denied', () => others.happened.denied.length > 0 && wrong.happened.denied.length > 0)
    assert.match(wrong.happened.denied[0], /not valid/)
    if (number !== '2') assert.deepEqual([mine.happened.scopes, read.happened.scopes], [['read-write'], ['readonly']])
    mine.text.insert(0, 'written')
    await until('it is saved', () => !mine.hasUnsyncedChanges)
    const again = open(t, version, socket, 'team/again', { token: writer('ann') })
    await synced(again)
  })

  test(`provider ${number}: a reader's changes reach nobody, and are never said to be saved`, async t => {
    const server = await Server.start(t, ...KEYS)
    const writes = open(t, version, socketOf(t, version, server), 'team/plan', { token: writer('ann') })
    const reads = open(t, version, socketOf(t, version, server), 'team/plan', { token: reader('bob') })
    await synced(writes, reads)
    reads.text.insert(0, 'not mine to write')
    writes.text.insert(0, 'ann')
    await until('it is read', () => reads.text.toString().includes('ann'))
    await until('it is saved', () => !writes.hasUnsyncedChanges)
    assert.equal(writes.text.toString(), 'ann')
    assert.ok(reads.hasUnsyncedChanges)
    reads.awareness.setLocalStateField('user', { name: 'Bob' })
    await until('a reader is seen', () => [...writes.awareness.getStates().values()].some(state => state.user?.name === 'Bob'))
  })
}

for (const number of ['3', '4']) {
  test(`provider ${number}: it is asked for a new token in time, and goes on; without one its document is denied at the end`, async t => {
    const server = await Server.start(t, ...KEYS, '--access-leeway', '0s')
    const version = VERSIONS[number]
    const token = () => writer('ann', { exp: inSeconds(9) }) // asked for again after half of that: enough for a busy machine
    const asked = { refreshed: 0 }
    const refreshes = open(t, version, socketOf(t, version, server), 'team/plan', { token: () => { asked.refreshed++; return token() } })
    const fixed = open(t, version, socketOf(t, version, server), 'team/plan', { token: token() })
    await synced(refreshes, fixed)
    await until('the fixed token has ended', () => fixed.happened.denied.length > 0)
    assert.match(fixed.happened.denied[0], /expired/)
    await until('the other was renewed twice', () => asked.refreshed >= 3)
    refreshes.text.insert(0, 'still here')
    await until('it is saved', () => !refreshes.hasUnsyncedChanges)
    assert.deepEqual(refreshes.happened.denied, [])
    assert.deepEqual(refreshes.happened.closed, [])
  })
}

test('y-websocket: at the end of its token a connection is closed with 4401, unless it has sent a new one', async t => {
  const server = await Server.start(t, ...KEYS, '--access-leeway', '0s')
  const [ends, renews, becomesReader] = [1, 2, 3].map(() => knock(t, server, 'team/plan', { token: writer('ann', { exp: inSeconds(8) }) }))
  for (const visitor of [ends, renews, becomesReader]) await visitor.opened()
  const renew = (visitor, token) => visitor.send(Buffer.concat([Buffer.from([2, 1, 0x80 | (token.length & 0x7f), token.length >> 7]), Buffer.from(token)]))
  renew(renews, writer('ann'))
  renew(becomesReader, reader('ann'))
  await until('both are answered', () => says(renews.frames, 2, 2).length === 1 && says(becomesReader.frames, 2, 0).length === 1)
  assert.equal(words(says(renews.frames, 2, 2)[0]), 'read-write')
  assert.deepEqual(await ends.closed, { code: 4401, reason: 'the token has expired' })
  await renews.acknowledged([7])
  assert.ok(!becomesReader.isClosed)
  renew(renews, writer('bob'))
  assert.equal((await renews.closed).code, 4403, 'nobody becomes somebody else')
  renew(becomesReader, 'nonsense')
  assert.equal((await becomesReader.closed).code, 4401)
})

test('who came as nobody in particular may say who it is, and write', async t => {
  const server = await Server.start(t, ...KEYS, '--anonymous', 'read')
  let token = ''
  const provider = open(t, VERSIONS[4], socketOf(t, VERSIONS[4], server), 'team/plan', { token: () => token })
  await synced(provider)
  assert.deepEqual(provider.happened.scopes, ['readonly'])
  token = writer('somebody-by-now')
  await provider.sendToken()
  await until('it may write', () => provider.happened.scopes.at(-1) === 'read-write')
  const other = knock(t, server, 'team/plan', { token: writer('ann') })
  await other.opened()
  provider.text.insert(0, 'written')
  await until('it is saved', () => !provider.hasUnsyncedChanges)
  const log = fs.readdirSync(server.data).filter(name => name.endsWith('.log')).map(name => fs.readFileSync(path.join(server.data, name), 'latin1')).join()
  assert.ok(log.includes('somebody-by-now'), 'the change is recorded as theirs')
  assert.ok(!other.isClosed)
})

test('y-websocket 3.1 stays away when it is denied', async t => {
  const server = await Server.start(t, ...KEYS)
  const provider = connect(t, PROVIDERS['y-websocket 3.1'], server, 'team/plan', new Y.Doc(), { params: { token: 'nonsense' } })
  const codes = []
  provider.on('connection-close', event => codes.push(event.code))
  await until('it was closed', () => codes.length > 0)
  assert.deepEqual(codes, [4401])
  assert.equal(provider.shouldConnect, false)
})

test('what is revoked ends at once, also after a restart, and the others notice nothing', async t => {
  const server = await Server.start(t, ...KEYS)
  const [ann, bob] = ['ann', 'bob'].map(subject => knock(t, server, 'team/plan', { token: writer(subject, { iat: inSeconds(0) }) }))
  const one = knock(t, server, 'team/plan', { token: writer('cat', { jti: 'token-1' }) })
  for (const visitor of [ann, bob, one]) await visitor.opened()
  const many = open(t, VERSIONS[4], socketOf(t, VERSIONS[4], server), 'team/plan', { token: writer('ann') })
  await synced(many)
  many.awareness.setLocalStateField('user', { name: 'Ann' })
  const watching = connect(t, PROVIDERS['y-websocket 3.1'], server, 'team/plan', new Y.Doc(), { params: { token: writer('dan') } })
  const sees = () => [...watching.awareness.getStates().values()].some(state => state.user?.name === 'Ann')
  await until('she is seen', sees)
  assert.equal((await api(server, 'access/revoke', { subject: 'ann' })).status, 200)
  assert.deepEqual(await ann.closed, { code: 4403, reason: 'the token was revoked' })
  await until('her document is denied', () => many.happened.denied.length > 0)
  await until('her presence has gone', () => !sees())
  assert.equal((await api(server, 'access/revoke', { token: 'token-1' })).status, 200)
  assert.equal((await one.closed).code, 4403)
  await bob.acknowledged([7])
  assert.deepEqual(many.happened.closed, [])
  await server.terminate()
  await server.start()
  assert.match((await knock(t, server, 'team/plan', { token: writer('ann', { iat: inSeconds(-30) }) }).closed).reason, /revoked/)
  const later = knock(t, server, 'team/plan', { token: writer('ann', { iat: inSeconds(5) }) })
  await later.opened()
  await later.acknowledged([7])
  for (const [wrong, detail] of [[{}, /needed/], [{ subjekt: 'ann' }, /subjekt/]]) {
    const { status, body } = await api(server, 'access/revoke', wrong)
    assert.equal(status, 400)
    assert.match(body.detail, detail)
  }
})

test('the application decides, and decides again when it is told to be asked', async t => {
  const access = { ann: 'write', bob: 'write', cat: 'write', eve: 'none' }
  const application = await Application.start(t, question => {
    const subject = question.cookies.session
    if (subject === undefined) return [401, {}]
    if (access[subject] === 'none') return [403, { reason: 'you are not of this team' }]
    return [200, { access: access[subject], subject, name: subject }]
  })
  const server = await Server.start(t, '--access-ask', application.url, '--access-ask-cookies', 'session')
  const visit = subject => knock(t, server, 'plan', { headers: { cookie: `session=${subject}; other=1` } })
  const [ann, bob, cat] = ['ann', 'bob', 'cat'].map(visit)
  for (const visitor of [ann, bob, cat]) {
    await visitor.opened()
    await visitor.acknowledged([1])
  }
  assert.deepEqual(application.questions[0].cookies, { session: application.questions[0].cookies.session }, 'only the cookie that is named')
  assert.equal(application.questions[0].document, 'plan')
  assert.deepEqual(await visit('eve').closed, { code: 4403, reason: 'you are not of this team' })
  assert.equal((await knock(t, server, 'plan').closed).code, 4401)
  Object.assign(access, { ann: 'read', bob: 'none' })
  assert.equal((await api(server, 'access/recheck', { document: 'plan' })).status, 200)
  await until('ann may only read', () => says(ann.frames, 2, 0).length === 1)
  assert.deepEqual(await bob.closed, { code: 4403, reason: 'you are not of this team' })
  await cat.acknowledged([2])
  assert.equal(says(cat.frames, 2, 0).length + says(cat.frames, 2, 2).length, 0, 'the third notices nothing')
  access.ann = 'write'
  await api(server, 'access/recheck', { subject: 'ann' })
  await until('ann may write again', () => says(ann.frames, 2, 2).length === 1)
})

test('while the application is away nobody new comes in, and those who are here stay', async t => {
  const application = await Application.start(t, () => [200, { access: 'write', subject: 'ann', cacheSeconds: 0 }])
  const server = await Server.start(t, '--access-ask', application.url, '--access-ask-timeout', '1s')
  const before = knock(t, server, 'plan', { token: 'one' })
  await before.opened()
  await before.acknowledged([1])
  for (const answer of [() => [500, {}], () => [200, 'nonsense'], () => [200, { access: 'all' }], () => [302, {}, { location: '/' }], () => new Promise(() => {})]) {
    application.answer = answer
    const { code } = await knock(t, server, 'plan', { token: 'two' }).closed
    assert.equal(code, 1013)
  }
  application.stop()
  assert.equal((await knock(t, server, 'plan', { token: 'three' }).closed).code, 1013)
  await api(server, 'access/recheck', { document: 'plan' })
  await before.acknowledged([2])
})

test('an answer that was on its way when access was withdrawn is asked for again', async t => {
  let release
  const held = new Promise(resolve => { release = resolve })
  const application = await Application.start(t, async () => {
    if (application.questions.length > 1) return [403, { reason: 'not any more' }]
    await held
    return [200, { access: 'write', subject: 'ann' }]
  })
  const server = await Server.start(t, '--access-ask', application.url)
  const opens = open(t, VERSIONS[4], socketOf(t, VERSIONS[4], server), 'plan')
  await until('it is being asked', () => application.questions.length === 1)
  await api(server, 'access/recheck', { document: 'plan' })
  release()
  await until('it is denied', () => opens.happened.denied.length > 0)
  assert.equal(opens.happened.denied[0], 'not any more')
  assert.deepEqual(opens.happened.scopes, [])
})

test('what the application has granted to a subject ends when the subject is revoked', async t => {
  const application = await Application.start(t, () => [200, { access: 'write', subject: 'ann' }])
  const server = await Server.start(t, '--access-ask', application.url)
  const ann = knock(t, server, 'plan')
  await ann.opened()
  await ann.acknowledged([1])
  await api(server, 'access/revoke', { subject: 'ann' })
  assert.equal((await ann.closed).code, 4403)
})

test('a token that is too long renews nothing, and y-sweet needs its key where tokens decide', async t => {
  const server = await Server.start(t, ...KEYS)
  const visitor = knock(t, server, 'team/plan', { token: reader('ann') })
  await visitor.opened()
  const length = 20_000
  visitor.send(Buffer.concat([Buffer.from([2, 1, 0x80 | (length & 0x7f), 0x80 | (length >> 7 & 0x7f), length >> 14]), Buffer.alloc(length, 'x')]))
  assert.equal((await visitor.closed).code, 1008)
  assert.equal((await fetch(`${server.http}/y-sweet/doc/new`, { method: 'POST' })).status, 401)
  assert.equal((await knock(t, server, 'y-sweet/d/plan/ws/plan').closed).code, 1006)
})

for (const [number, version] of Object.entries(VERSIONS)) {
  test(`provider ${number}: one document waits for the application while the others of its socket go on`, async t => {
    let release
    const held = new Promise(resolve => { release = resolve })
    const application = await Application.start(t, async ({ document }) => {
      if (document === 'slow') await held
      return [200, { access: 'write', subject: 'ann' }]
    })
    const server = await Server.start(t, '--access-ask', application.url)
    const socket = socketOf(t, version, server)
    const [slow, fast] = ['slow', 'fast'].map(name => open(t, version, socket, name))
    await synced(fast)
    fast.text.insert(0, 'x')
    await until('it is saved', () => !fast.hasUnsyncedChanges)
    assert.ok(!slow.synced)
    release()
    await synced(slow)
    slow.text.insert(0, 'y')
    await until('it is saved as well', () => !slow.hasUnsyncedChanges)
  })
}

test('pages of other sites cannot connect, whatever cookies their visitors have', async t => {
  const server = await Server.start(t, ...KEYS, '--access-token-cookie', 'session', '--origins', 'https://*.app.example')
  const cookie = `session=${writer('ann')}`
  const status = async (origin, host = 'docs.example') => {
    const visitor = knock(t, server, 'team/plan', { headers: { cookie, origin, host } })
    await until('it is decided', () => visitor.isOpen || visitor.isClosed)
    return visitor.isOpen ? 101 : visitor.status
  }
  assert.equal(await status('https://docs.example'), 101)
  assert.equal(await status('https://a.app.example'), 101)
  assert.equal(await status('http://localhost:5173', '127.0.0.1:1234'), 101)
  for (const origin of ['https://evil.example', 'https://docs.example.evil.example', 'null', 'http://localhost:5173']) {
    assert.equal(await status(origin), 403, origin)
  }
  const cors = async origin => (await fetch(`${server.http}/y-sweet/ready`, { headers: { origin } })).headers.get('access-control-allow-origin')
  assert.equal(await cors('https://a.app.example'), 'https://a.app.example')
  assert.equal(await cors('https://evil.example'), null)
})

test('without a word about access, only this machine gets in, and a forwarded request is not of it', async t => {
  const server = await Server.start(t)
  const here = knock(t, server, 'plan')
  await here.opened()
  await here.acknowledged([1])
  for (const headers of [{ 'x-forwarded-for': '192.0.2.1' }, { forwarded: 'for=192.0.2.1' }, { host: 'docs.example' }]) {
    const { code, reason } = await knock(t, server, 'plan', { headers }).closed
    assert.equal(code, 4401)
    assert.match(reason, /anonymous/)
    for (const path of ['metrics', 'api/v1/access/recheck']) {
      assert.equal(await status(`${server.http}/${path}`, headers), 401, `${path} ${JSON.stringify(headers)}`)
    }
  }
})

test('a server key opens the API from elsewhere, from when it is made until it is removed', async t => {
  const server = await Server.start(t, '--anonymous', 'none')
  const run = async (...args) => {
    const child = spawn(process.env.COSCRIBE_BIN, ['key', '--data', server.data, ...args])
    let printed = ''
    child.stdout.on('data', chunk => { printed += chunk })
    const code = await new Promise(resolve => child.on('close', resolve))
    assert.equal(code, 0)
    return printed.trim()
  }
  const status = async key => {
    const headers = { 'content-type': 'application/json', 'x-forwarded-for': '192.0.2.1', authorization: `Bearer ${key}` }
    const response = await fetch(`${server.http}/api/v1/access/recheck`, { method: 'POST', headers, body: '{"subject":"ann"}' })
    assert.equal(response.headers.get('content-type').split(';')[0], response.ok ? 'application/json' : 'application/problem+json')
    return response.status
  }
  const key = await run('new', 'app')
  assert.equal(await status(key), 200)
  assert.equal(await status(`${key}0`), 401)
  assert.match(await run('list'), /^app\t/)
  await run('remove', 'app')
  assert.equal(await status(key), 401)
})

test('anonymous people may be allowed to read', async t => {
  const server = await Server.start(t, ...KEYS, '--anonymous', 'read')
  const ann = connect(t, PROVIDERS['y-websocket 3.1'], server, 'team/plan', new Y.Doc(), { params: { token: writer('ann') } })
  const somebody = connect(t, PROVIDERS['y-websocket 2.1'], server, 'team/plan')
  await synced(ann, somebody)
  somebody.text.insert(0, 'vandal')
  ann.text.insert(0, 'ann')
  await until('she is read', () => somebody.text.toString().includes('ann'))
  const other = connect(t, PROVIDERS['y-websocket 1.5'], server, 'team/plan')
  await converged(ann, other)
  assert.equal(ann.text.toString(), 'ann')
})

test('an address that comes again and again with a bad token is refused by status, and a good token still comes in', async t => {
  const server = await Server.start(t, ...KEYS)
  const outcomes = await Promise.all(Array.from({ length: 60 }, async () => {
    const visitor = knock(t, server, 'team/plan', { token: 'nonsense' })
    const { code } = await visitor.closed
    return visitor.status ?? code
  }))
  assert.ok(outcomes.includes(4401) && outcomes.includes(401), outcomes.join())
  assert.ok(outcomes.every(outcome => outcome === 4401 || outcome === 401))
  const good = knock(t, server, 'team/plan', { token: writer('ann') })
  await good.opened()
  await good.acknowledged([1])
})
