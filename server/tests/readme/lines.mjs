// Lines of a page as they stand there, and people who run them, in a process each.

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { until } from '../clients/harness.mjs'

/** What stands on a page of the repository below a heading in bold, in the language of the block, with these replacements. */
export function lines (page, heading, language, replacements = {}) {
  const text = fs.readFileSync(new URL(`../../../${page}`, import.meta.url), 'utf8')
  const [, below, ...others] = text.split(`\n**${heading}**`)
  assert.ok(below !== undefined && others.length === 0, `${page} has one heading ${heading}`)
  const code = below.match(new RegExp('^```' + language + '\\n([^]*?)^```', 'm'))?.[1]
  assert.ok(code, `${page} shows lines for ${heading}`)
  return Object.entries(replacements).reduce((code, [from, to]) => {
    assert.ok(code.includes(from), `${heading}: ${from}`)
    return code.replaceAll(from, () => to)
  }, code)
}

/** Writes lines to where they find their packages; gone after the test. */
export function fileOf (t, name, code) {
  const directory = fs.mkdtempSync(path.join(import.meta.dirname, 'node_modules', '.lines-'))
  t.after(() => fs.rmSync(directory, { recursive: true }))
  const file = path.join(directory, name)
  fs.writeFileSync(file, code)
  return file
}

/** Somebody who has opened a page with the lines in a file; leaves after the test. */
export class Person {
  shown = null
  #failed = ''

  /** `page` is the script in which they run. */
  constructor (t, file, page = 'page.mjs') {
    this.page = fork(new URL(page, import.meta.url), [file], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
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
