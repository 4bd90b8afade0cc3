// A certificate for 127.0.0.1 that openssl makes, and WebSockets that believe it.

import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import WebSocket from 'ws'

/** Makes one, gone after the test: `flags` for a server that shows it, and a `WebSocket` that believes no other. */
export function certificate (t) {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'coscribe-certificate-'))
  t.after(() => fs.rmSync(home, { recursive: true, force: true }))
  const [cert, key] = ['cert.pem', 'key.pem'].map(name => path.join(home, name))
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=coscribe', '-addext', 'subjectAltName=IP:127.0.0.1', '-out', cert, '-keyout', key
  ], { stdio: 'pipe' })
  const ca = fs.readFileSync(cert)
  return {
    flags: ['--tls-cert', cert, '--tls-key', key],
    WebSocket: class extends WebSocket {
      constructor (url, protocols) { super(url, protocols, { ca }) }
    }
  }
}
