// Lines of a page as they stand there, and people who run them, in a process each.

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import WebSocket from 'ws'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { until } from '../clients/harness.mjs'

/** The block in a language below a heading, or below a line in bold, on a page of the repository, with these replacements. */
export function lines (page, heading, language, replacements = {}) {
  const code = section(page, heading).match(new RegExp('^```' + language + '\\n([^]*?)^```', 'm'))?.[1]
  assert.ok(code, `${page} shows ${language} for ${heading}`)
  return Object.entries(replacements).reduce((code, [from, to]) => {
    assert.ok(code.includes(from), `${heading}: ${from}`)
    return code.replaceAll(from, () => to)
  }, code)
}

/** The text from a heading, or a line in bold, to the next one. */
function section (page, heading) {
  const text = fs.readFileSync(new URL(`../../../${page}`, import.meta.url), 'utf8')
  const parts = text.split(/^(?=\*\*|##)/m).filter(part => part.startsWith(`**${heading}**`) || part.startsWith(`## ${heading}\n`))
  assert.equal(parts.length, 1, `${page} has one heading ${heading}`)
  return parts[0]
}

/** Writes lines to where they find their packages; gone after the test. */
export function fileOf (t, name, code) {
  const directory = fs.mkdtempSync(path.join(import.meta.dirname, 'node_modules', '.lines-'))
  t.after(() => fs.rmSync(directory, { recursive: true }))
  const file = path.join(directory, name)
  fs.writeFileSync(file, code)
  return file
}

/** Somebody who runs the lines in a file; leaves after the test. */
export class Person {
  shown = null
  #failed = ''

  constructor (t, file) {
    this.page = fork(new URL('client.mjs', import.meta.url), [file], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    t.after(() => this.page.kill())
    this.page.stderr.on('data', chunk => { this.#failed += chunk })
    this.page.on('message', ({ shown }) => { this.shown = shown })
  }

  async opened () { await until('the page is there', () => this.#alive() && this.shown !== null, 60) }
  type (typed) { this.page.send({ typed }) }

  async sees (text) {
    await until(`the page shows ${text}`, () => {
      this.page.send({})
      return this.#alive() && this.shown.includes(text)
    })
  }

  #alive () {
    if (this.page.exitCode !== null) throw new Error(`the page failed: ${this.#failed}`)
    return true
  }
}

/** The document as y-websocket has it, whoever writes it. */
export function connect (t, server, name) {
  const doc = new Y.Doc()
  const provider = new WebsocketProvider(server.url, name, doc, { WebSocketPolyfill: WebSocket, disableBc: true })
  t.after(() => {
    provider.destroy()
    doc.destroy() // else the timer of its awareness keeps this process alive
  })
  return provider
}
