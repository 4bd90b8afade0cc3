// nginx and Caddy with the configurations of docs/deploy.md, except for names, ports, and paths of files.

import { execFileSync, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import tls from 'node:tls'
import { until } from '../clients/harness.mjs'

const PAGE = fs.readFileSync(new URL('../../../docs/deploy.md', import.meta.url), 'utf8')

/** What a server needs so that strangers who come through a proxy may write. */
export const OPEN_TO_STRANGERS = ['--anonymous', 'write']

/** The path below which the second configuration of each proxy serves. */
export const PREFIX = '/collab'

/** How each proxy is run, in one process: the language of its blocks on the page, and how a block becomes its configuration. */
const PROXIES = {
  nginx: {
    file: (site, home) => `
      daemon off; master_process off; pid ${home}/pid; error_log stderr;
      events { worker_connections 1024; }
      http {
        access_log off;
        ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(kind => `${kind}_temp_path ${home}/${kind};`).join(' ')}
        ${site}
      }`,
    replacements: (port, home) => [
      ['listen 443 ssl', `listen 127.0.0.1:${port} ssl`],
      [/server_name \S+;/, 'server_name localhost;'],
      ['Host $host;', `Host $host:${port};`], // as the page says for another port than 443
      ['/etc/ssl/coscribe.pem', `${home}/certificate.pem`],
      ['/etc/ssl/coscribe.key', `${home}/key.pem`]
    ],
    command: file => ['nginx', '-c', file, '-e', 'stderr']
  },
  caddyfile: {
    file: (site, home) => `{
      admin off
      auto_https disable_redirects
      skip_install_trust
      storage file_system ${home}/storage
      default_bind 127.0.0.1
    }
    ${site}`,
    replacements: port => [[/^\S+\.example\.org \{/, `https://localhost:${port} {`]],
    command: file => ['caddy', 'run', '--adapter', 'caddyfile', '--config', file]
  }
}

/** The proxies by the language of their blocks, and the programs. */
export const LANGUAGES = { nginx: 'nginx', caddyfile: 'caddy' }

/** Whether a proxy is there; else the test is skipped, unless COSCRIBE_REQUIRE_PROXIES is set. */
export function isInstalled (t, language) {
  const program = LANGUAGES[language]
  if (found(program) !== undefined) return true
  const missing = `${program} is not installed: server/tests/proxies/install`
  if (process.env.COSCRIBE_REQUIRE_PROXIES) throw new Error(missing)
  t.skip(missing)
  return false
}

function found (program) {
  const directories = [...(process.env.PATH ?? '').split(':'), '/usr/sbin']
  return directories.map(directory => path.join(directory, program)).find(file => fs.existsSync(file))
}

/** A proxy in front of a server, with one of the page's configurations, gone after the test. */
export class PageProxy {
  /** `isBelow`: with the configuration that serves below a path. `changes` are further replacements. */
  static async start (t, language, server, { isBelow = false, changes = [] } = {}) {
    const home = fs.mkdtempSync(path.join(os.tmpdir(), 'coscribe-proxy-'))
    const proxy = new PageProxy(await freePort(), isBelow)
    t.after(() => {
      proxy.child?.kill('SIGKILL')
      fs.rmSync(home, { recursive: true, force: true })
    })
    makeCertificate(home)
    const { file, replacements, command } = PROXIES[language]
    const site = replaced(blocks(language)[isBelow ? 1 : 0], [
      ...replacements(proxy.port, home), ['127.0.0.1:1234', `127.0.0.1:${server.port}`], ...changes
    ])
    const config = path.join(home, 'config')
    fs.writeFileSync(config, file(site, home))
    await proxy.#run(command(config), home)
    return proxy
  }

  constructor (port, isBelow) {
    this.port = port
    this.path = isBelow ? PREFIX : ''
    this.log = ''
  }

  /** As that of a server. */
  get url () { return `wss://localhost:${this.port}${this.path}` }

  async #run ([program, ...flags], home) {
    const env = { ...process.env, HOME: home, XDG_DATA_HOME: home, XDG_CONFIG_HOME: home }
    this.child = spawn(found(program), flags, { env, stdio: ['ignore', 'ignore', 'pipe'] })
    process.on('exit', () => this.child.kill('SIGKILL'))
    this.child.stderr.on('data', chunk => { this.log += chunk })
    await until(`${program} has its certificate and accepts connections`, () => {
      if (this.child.exitCode !== null) throw new Error(`${program} ended at its start:\n${this.log}`)
      return accepts(this.port)
    }).catch(error => { throw new Error(`${error.message}; its log:\n${this.log}`) })
  }
}

/** What the page shows in a language: the configuration for a name of its own, then the one below a path. */
function blocks (language) {
  const shown = [...PAGE.matchAll(new RegExp('^```' + language + '\\n([^]*?)^```', 'gm'))].map(([, code]) => code)
  if (shown.length !== 2) throw new Error(`docs/deploy.md has ${shown.length} configurations for ${language}, and not 2`)
  return shown
}

function replaced (text, replacements) {
  return replacements.reduce((text, [from, to]) => {
    const changed = text.replace(from, () => to)
    if (changed === text) throw new Error(`docs/deploy.md has no ${from} in:\n${text}`)
    return changed
  }, text)
}

function makeCertificate (home) {
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost',
    '-addext', 'subjectAltName=DNS:localhost', '-keyout', `${home}/key.pem`, '-out', `${home}/certificate.pem`
  ], { stdio: 'ignore' })
}

/** Below those that the system gives to clients: one of them, asking whether the proxy is there, could be connected to itself. */
async function freePort () {
  for (;;) {
    const port = randomInt(10_000, 32_000)
    const listener = net.createServer()
    const isFree = await new Promise(resolve => listener.on('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true)))
    if (!isFree) continue
    await new Promise(resolve => listener.close(resolve))
    return port
  }
}

function accepts (port) {
  return new Promise(resolve => {
    const socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', rejectUnauthorized: false }, () => {
      socket.end()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
