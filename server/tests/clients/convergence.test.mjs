import assert from 'node:assert/strict'
import test from 'node:test'
import { connect, converged, PROVIDERS, synced } from './clients.mjs'
import { Server } from './harness.mjs'

for (const [version, Provider] of Object.entries(PROVIDERS)) {
  test(`${version}: two providers see what each other types`, async t => {
    const server = await Server.start(t)
    const [a, b] = [connect(t, Provider, server, 'two'), connect(t, Provider, server, 'two')]
    await synced(a, b)
    a.text.insert(0, 'from a')
    await converged(a, b)
    b.text.insert(6, ', and from b')
    b.map.set('key', { nested: [1, null] })
    await converged(a, b)
    assert.equal(a.text.toString(), 'from a, and from b')
    assert.deepEqual(a.map.toJSON(), { key: { nested: [1, null] } })
  })

  test(`${version}: ten providers edit text, map and array at the same time`, async t => {
    const server = await Server.start(t)
    const all = Array.from({ length: 10 }, () => connect(t, Provider, server, 'ten'))
    await synced(...all)
    for (let round = 0; round < 20; round++) {
      all.forEach((provider, at) => editAll(provider, at, round))
      await new Promise(resolve => setImmediate(resolve)) // lets some of it travel in the midst of it
    }
    await converged(...all)
    const late = connect(t, Provider, server, 'ten')
    await converged(late, ...all)
    const letters = late.text.toString()
    for (let at = 0; at < 10; at++) assert.equal(letters.split(String(at)).length - 1, 15, `what ${at} typed, less what it deleted`)
    assert.equal(Object.keys(late.map.toJSON()).length, 11)
    assert.equal(late.array.length, 200)
  })

  test(`${version}: document names that need escaping are documents of their own`, async t => {
    const server = await Server.start(t)
    const names = ['with a space', 'a/b', 'a/b/c', 'ümläut', '50%25', 'healthz', 'readyz', '文書', 'a+b', 'q?token=x']
    for (const name of names) {
      const [a, b] = [connect(t, Provider, server, name), connect(t, Provider, server, name)]
      await synced(a, b)
      a.text.insert(0, name)
      await converged(a, b)
      assert.equal(b.text.toString(), name)
    }
  })

  test(`${version}: an escaped name is the same document as the name itself`, async t => {
    const server = await Server.start(t)
    const [a, b] = [connect(t, Provider, server, 'room a/ü'), connect(t, Provider, server, 'room%20a%2F%C3%BC')]
    await synced(a, b)
    a.text.insert(0, 'the same')
    await converged(a, b)
    assert.equal(b.text.toString(), 'the same')
  })
}

test('all versions edit the same document', async t => {
  const server = await Server.start(t)
  const all = Object.values(PROVIDERS).map(Provider => connect(t, Provider, server, 'mixed'))
  await synced(...all)
  all.forEach(({ text }, at) => text.insert(0, `version ${at} `))
  await converged(...all)
  assert.equal(all[0].text.length, 'version 0 '.length * all.length)
})

/** Types one digit that is its own; each fourth round deletes one of them again; overwrites a shared and an own key. */
function editAll ({ text, map, array }, at, round) {
  text.insert(Math.min(text.length, round * at), String(at))
  if (round % 4 === 3) text.delete(text.toString().indexOf(String(at)), 1)
  map.set('shared', [at, round])
  map.set(`own ${at}`, round)
  array.insert(Math.floor(array.length / 2), [[at, round]])
}
