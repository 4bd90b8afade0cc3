// README's lines for Python as they stand there, except for the address of the server.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import test from 'node:test'
import { promisify } from 'node:util'
import { Server, until } from '../clients/harness.mjs'
import { python } from '../python/python.mjs'
import { connect, fileOf, lines } from './lines.mjs'

const HEADING = 'Python, with pycrdt'

test('what the lines write is there, and they have what was', async t => {
  const interpreter = python(t)
  if (interpreter === null) return
  const server = await Server.start(t)
  const provider = connect(t, server, 'team/notes')
  await until('it is synced', () => provider.synced)
  provider.doc.getText('text').insert(0, 'From a browser. ')
  const other = connect(t, server, 'team/notes')
  await until('the server has it', () => other.doc.getText('text').length > 0)
  const code = lines('README.md', HEADING, 'python', { 'ws://localhost:1234': server.url })
  const { stdout } = await promisify(execFile)(interpreter, [fileOf(t, 'lines.py', code)])
  assert.equal(stdout, 'From a browser. From Python.\n')
  await until('Python’s words have come', () => provider.doc.getText('text').toString() === 'From a browser. From Python.')
})

test('the line that installs the packages names the versions with which this is tested', () => {
  const requirements = fs.readFileSync(new URL('../python/requirements.txt', import.meta.url), 'utf8')
  const [pip, install, ...packages] = lines('README.md', HEADING, 'sh').trim().split(' ')
  assert.deepEqual([pip, install], ['pip', 'install'])
  for (const one of packages) assert.ok(requirements.split('\n').includes(one), one)
})
