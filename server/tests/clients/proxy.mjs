// A TCP proxy whose connections can be cut as a network is: nothing gets through any more, and neither end is told.

import net from 'node:net'

export class Proxy {
  #pairs = new Set()

  /** In front of a server, closed after the test. */
  static async start (t, server) {
    const proxy = new Proxy(server.port)
    await new Promise(resolve => proxy.listener.listen(0, '127.0.0.1', resolve))
    t.after(() => {
      proxy.drop()
      proxy.listener.close()
    })
    return proxy
  }

  constructor (port) {
    this.listener = net.createServer(client => {
      const server = net.connect(port, '127.0.0.1')
      const pair = { client, server, cut: false }
      this.#pairs.add(pair)
      for (const [from, to] of [[client, server], [server, client]]) {
        from.on('data', bytes => { if (!pair.cut) to.write(bytes) })
        from.on('error', () => {}) // a close follows
        from.on('close', () => { if (!pair.cut) to.destroy() })
      }
    })
  }

  /** As that of a server. */
  get url () { return `ws://127.0.0.1:${this.listener.address().port}` }

  /** Cuts the connections that are open; the server takes them for alive. */
  cut () {
    this.#pairs.forEach(pair => { pair.cut = true })
  }

  /** Ends all connections, also for the server. */
  drop () {
    for (const { client, server } of this.#pairs) {
      client.destroy()
      server.destroy()
    }
    this.#pairs.clear()
  }
}
