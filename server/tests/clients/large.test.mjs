import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import test from 'node:test'
import { connect, converged, PROVIDERS, synced } from './clients.mjs'
import { Server, until } from './harness.mjs'

const MIB = 1 << 20

for (const [version, Provider] of Object.entries(PROVIDERS)) {
  test(`${version}: a document of 10 MB syncs to a fresh provider, before and after a restart`, async t => {
    const server = await Server.start(t)
    const writer = connect(t, Provider, server, 'large')
    for (let part = 0; part < 10; part++) writer.array.push([new Uint8Array(randomBytes(MIB))])
    writer.text.insert(0, 'ü'.repeat(1000))
    const reader = connect(t, Provider, server, 'large')
    await synced(writer, reader)
    await sameParts(writer, reader)
    await server.terminate()
    await server.start()
    const late = connect(t, Provider, server, 'large')
    await sameParts(writer, late)
  })

  test(`${version}: a peer that stops reading for 30 MB is brought up to date on the same connection`, async t => {
    const server = await Server.start(t)
    const [writer, reader, slow] = Array.from({ length: 3 }, () => connect(t, Provider, server, 'slow'))
    await synced(writer, reader, slow)
    let closes = 0
    slow.on('connection-close', () => closes++)
    slow.ws._socket.pause()
    const before = server.memory().resident
    let slowest = 0
    for (let at = 0; at < 300; at++) {
      // Each replaces the last, so the document itself stays small.
      writer.map.set('block', new Uint8Array(randomBytes(100_000)))
      writer.map.set('at', at)
      const sent = Date.now()
      await until('the other reader has it', () => reader.map.get('at') === at)
      slowest = Math.max(slowest, Date.now() - sent)
    }
    const grown = server.memory().peak - before
    assert.ok(slowest < 1000, `the other reader waited ${slowest} ms`)
    assert.ok(grown < 20 * MIB, `the server grew by ${Math.round(grown / MIB)} MiB`)
    assert.notEqual(slow.map.get('at'), 299)
    slow.ws._socket.resume()
    await converged(writer, slow, reader)
    assert.equal(slow.map.get('at'), 299)
    assert.equal(closes, 0)
  })
}

async function sameParts (writer, reader) {
  await until('all parts are there', () => reader.array.length === writer.array.length && reader.text.length === writer.text.length, 30)
  writer.array.forEach((part, at) => assert.ok(Buffer.from(part).equals(reader.array.get(at)), `part ${at} differs`))
  assert.equal(reader.text.toString(), writer.text.toString())
}
