// Tokens as an application signs them, and an application that is asked who may do what.

import crypto from 'node:crypto'
import http from 'node:http'

export const SECRET = 'a secret of the tests, which has more than 32 bytes'

const encode = value => Buffer.from(JSON.stringify(value)).toString('base64url')
export const inSeconds = seconds => Math.floor(Date.now() / 1000) + seconds

/** A token with these claims, for an hour; signed with HS256, unless `alg` says otherwise. */
export function sign (claims, { secret = SECRET, alg = 'HS256', key, kid } = {}) {
  const body = `${encode({ alg, typ: 'JWT', kid })}.${encode({ aud: 'coscribe', exp: inSeconds(3600), ...claims })}`
  return `${body}.${signature(alg, body, key ?? secret)}`
}

function signature (alg, body, key) {
  if (alg === 'none') return ''
  if (alg.startsWith('HS')) return crypto.createHmac(`sha${alg.slice(2)}`, key).update(body).digest('base64url')
  if (alg === 'EdDSA') return crypto.sign(null, Buffer.from(body), key).toString('base64url')
  return crypto.sign(`sha${alg.slice(2)}`, Buffer.from(body), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')
}

/** An HTTP server of the application; gone after the test. `answer(question, request)` gives `[status, body]`. */
export class Application {
  questions = []

  static async start (t, answer) {
    const application = new Application(answer)
    await new Promise(resolve => application.server.listen(0, '127.0.0.1', resolve))
    t.after(() => application.stop())
    return application
  }

  constructor (answer) {
    this.answer = answer
    this.server = http.createServer(async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      const question = body === '' ? null : JSON.parse(body)
      this.questions.push(question)
      const [status, answer, headers] = await this.answer(question, request)
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(typeof answer === 'string' ? answer : JSON.stringify(answer))
    })
  }

  get url () { return `http://127.0.0.1:${this.server.address().port}/` }

  stop () {
    this.server.closeAllConnections()
    this.server.close()
  }
}
