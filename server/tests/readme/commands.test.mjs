// Every block of commands in README and docs/deploy.md is run here as it stands, except for addresses and names of directories;
// or another test runs it; or the reason why none does is here.

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import test from 'node:test'
import { binary, Server, until } from '../clients/harness.mjs'
import { connect } from './lines.mjs'

/** Blocks that are not run here: how they begin, and why. */
const ELSEWHERE = [
  ['README.md', 'git clone', 'a test has the repository already, and a release takes minutes to build'],
  ['README.md', 'cargo install', 'a release takes minutes to build'],
  ['README.md', 'npx --yes vite', 'editors.test.mjs builds with the same version'],
  ['README.md', 'npm install', 'editors.test.mjs runs each'],
  ['README.md', 'pip install', 'python.test.mjs compares it with what it has installed'],
  ['docs/deploy.md', 'tar xzf', 'packaging/check unpacks the tarball and runs the program in it'],
  ['docs/deploy.md', 'sudo install', 'it changes the system; packaging/check has systemd analyse the unit'],
  ['docs/deploy.md', 'sudo systemd-run', 'it changes the system'],
  ['docs/deploy.md', '(umask 077', 'it takes Docker'],
  ['docs/deploy.md', 'docker compose exec', 'it takes Docker']
]

/** Blocks that are run here: how they begin, and what they take. */
const HERE = [
  ['README.md', 'export COSCRIBE_ACCESS_SECRET', serves, { 'coscribe --listen 0.0.0.0:1234': 'coscribe --listen 127.0.0.1:0' }],
  ['README.md', 'coscribe verify', async (t, directory, code) => {
    await store(t, path.join(directory, 'coscribe-data'), 'team/notes')
    assert.match(run(directory, code), /data format: version \d+\n.*\n1 document .*all sound/s)
    assert.equal(fs.readFileSync(path.join(directory, 'notes.txt'), 'utf8'), 'Hello')
    assert.ok(fs.existsSync(path.join(directory, 'other-data')))
  }],
  ['docs/deploy.md', 'coscribe --listen', async (t, directory, code) => {
    const certificate = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost', '-keyout', 'privkey.pem', '-out', 'fullchain.pem']
    execFileSync('openssl', certificate, { cwd: directory, stdio: 'ignore' })
    await serves(t, directory, code)
  }, { 'coscribe --listen docs.example.org:443': 'coscribe --listen 127.0.0.1:0' }],
  ['docs/deploy.md', 'coscribe verify', async (t, directory, code) => {
    await store(t, path.join(directory, 'copy'), 'team/notes')
    assert.match(run(directory, code), /1 document imported/)
  }]
]

const blocks = ['README.md', 'docs/deploy.md'].flatMap(page => {
  const text = fs.readFileSync(new URL(`../../../${page}`, import.meta.url), 'utf8')
  return [...text.matchAll(/^```sh\n([^]*?)^```/gm)].map(([, code]) => ({ page, code }))
})
const begins = ({ page, code }) => ([of, start]) => of === page && code.startsWith(start)

test('each block of commands is run, or the reason why it is not is here', () => {
  for (const block of blocks) assert.equal([...ELSEWHERE, ...HERE].filter(begins(block)).length, 1, `${block.page}: ${block.code}`)
  for (const entry of [...ELSEWHERE, ...HERE]) assert.ok(blocks.some(block => begins(block)(entry)), `no block of ${entry[0]} begins with ${entry[1]}`)
})

for (const entry of HERE) {
  const [page, start, follow, replacements = {}] = entry
  test(`${page}: ${start}…`, async t => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'coscribe-commands-'))
    t.after(() => fs.rmSync(directory, { recursive: true }))
    const { code } = blocks.find(block => begins(block)(entry))
    await follow(t, directory, Object.entries(replacements).reduce((code, [from, to]) => {
      assert.ok(code.includes(from), from)
      return code.replaceAll(from, () => to)
    }, code))
  })
}

/** The shell in which a reader is, with coscribe installed. */
function shell (directory, code) {
  const installed = path.join(directory, 'bin')
  fs.mkdirSync(installed)
  fs.symlinkSync(path.resolve(binary()), path.join(installed, 'coscribe'))
  return ['bash', ['--norc', '-euo', 'pipefail', '-c', code], { cwd: directory, env: { HOME: directory, PATH: `${installed}:${process.env.PATH}` } }]
}

/** What a block prints that comes to its end. */
function run (directory, code) {
  return execFileSync(...shell(directory, code)).toString()
}

/** Follows a block that ends with a server, until that listens. */
async function serves (t, directory, code) {
  const [program, options, place] = shell(directory, code)
  const child = spawn(program, options, { ...place, detached: true })
  const closed = once(child, 'close')
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => { printed += chunk })
  try {
    await until('it listens', () => {
      assert.equal(child.exitCode, null, printed)
      return printed.includes('listening on')
    }, 60)
  } finally {
    if (child.exitCode === null) process.kill(-child.pid) // also the server, which is a child of the shell
    await closed
  }
}

/** A data directory with a document. */
async function store (t, data, name) {
  const server = await Server.start(t)
  const provider = connect(t, server, name)
  await until('it is synced', () => provider.synced)
  provider.doc.getText('text').insert(0, 'Hello')
  const other = connect(t, server, name)
  await until('the server has it', () => other.doc.getText('text').length > 0)
  await server.terminate()
  fs.cpSync(server.data, data, { recursive: true })
}
