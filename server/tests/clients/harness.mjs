// Runs the real binary for a test: starts it on a free port, kills it, starts it again, reads its log, and cleans up.

import { spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

const ROOT = path.resolve(import.meta.dirname, '../../..')
const children = new Set()

process.setMaxListeners(100) // each provider listens for the exit, too
process.on('exit', () => children.forEach(child => child.kill('SIGKILL')))
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1))

/** Resolves when `condition` holds; rejects after `seconds`, naming what it waited for. The condition may be async. */
export async function until (what, condition, seconds = 20) {
  const deadline = Date.now() + seconds * 1000
  while (!await condition()) {
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`)
    await pause(10)
  }
}

/** A coscribe with a data directory of its own, both gone after the test. */
export class Server {
  #child = null
  #address = '127.0.0.1:0'

  /** `flags` are further flags of `coscribe serve`. */
  static async start (t, ...flags) {
    const server = new Server(flags)
    t.after(() => server.#remove())
    await server.start()
    return server
  }

  constructor (flags) {
    this.flags = flags
    this.data = fs.mkdtempSync(path.join(os.tmpdir(), 'coscribe-clients-'))
    this.log = ''
  }

  /** WebSocket URL of the server, without a document; does not change when it is started again. */
  get url () { return `ws${this.#s}://${this.#address}` }
  get http () { return `http${this.#s}://${this.#address}` }
  get #s () { return this.flags.includes('--tls-cert') ? 's' : '' }
  get port () { return Number(this.#address.split(':')[1]) }
  get pid () { return this.#child.pid }
  get isRunning () { return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null }

  /** Starts it (again: on the same port, with the same data) and waits until it says where it listens. */
  async start () {
    const child = spawn(binary(), ['serve', '--listen', this.#address, '--data', this.data, ...this.flags])
    children.add(child)
    this.#child = child
    this.exit = new Promise(resolve => child.on('exit', (code, signal) => {
      children.delete(child)
      resolve({ code, signal })
    }))
    let printed = ''
    child.on('error', error => { this.log += `${error}\n` })
    child.stdout.on('data', chunk => { printed += chunk })
    child.stderr.on('data', chunk => { this.log += chunk })
    await until(`the server says where it listens; its log: ${this.log}`, () => {
      if (!this.isRunning) throw new Error(`the server ended at its start:\n${printed}${this.log}`)
      return /127\.0\.0\.1:\d+/.test(printed)
    })
    this.#address = printed.match(/127\.0\.0\.1:\d+/)[0]
  }

  /** As a power failure of the process: no chance to do anything. */
  async kill () {
    this.#child.kill('SIGKILL')
    await this.exit
  }

  /** Asks it to end, and resolves to `{ code, signal }` when it has. */
  async terminate () {
    this.#child.kill('SIGTERM')
    return await this.exit
  }

  /** Resident memory in bytes; `peak` is the most it ever had. */
  memory () {
    const status = fs.readFileSync(`/proc/${this.pid}/status`, 'utf8')
    const bytes = field => Number(status.match(new RegExp(`${field}:\\s+(\\d+) kB`))[1]) * 1024
    return { resident: bytes('VmRSS'), peak: bytes('VmHWM') }
  }

  async #remove () {
    if (this.isRunning) await this.kill()
    fs.rmSync(this.data, { recursive: true, force: true })
    if (this.log.includes('panicked')) throw new Error(`the server panicked:\n${this.log}`)
  }
}

/** The program under test. */
export function binary () {
  if (process.env.COSCRIBE_BIN) return path.resolve(process.env.COSCRIBE_BIN)
  const target = process.env.CARGO_TARGET_DIR ?? path.join(ROOT, 'target')
  const built = ['release', 'debug'].map(profile => path.join(target, profile, 'coscribe')).find(file => fs.existsSync(file))
  if (built === undefined) throw new Error('no coscribe to test: build it, or set COSCRIBE_BIN')
  return built
}
