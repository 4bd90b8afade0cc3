// A TCP proxy whose connections can be cut as a network is: nothing gets through any more, and neither end is told. It can also
// be slow.

import net from 'node:net'

export class Proxy {
  #pairs = new Set()

  /** In front of a server, closed after the test. So many bytes a second come through from the server on each WebSocket. */
  static async start (t, server, bytesPerSecond = Infinity) {
    const proxy = new Proxy(server.port, bytesPerSecond)
    await new Promise(resolve => proxy.listener.listen(0, '127.0.0.1', resolve))
    t.after(() => {
      proxy.drop()
      proxy.listener.close()
    })
    return proxy
  }

  constructor (port, bytesPerSecond) {
    this.listener = net.createServer(client => {
      const server = net.connect({ port, host: '127.0.0.1', highWaterMark: 8192 })
      client.once('data', request => {
        if (bytesPerSecond < Infinity && /^upgrade: websocket/im.test(request)) slow(server, bytesPerSecond)
      })
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

  get http () { return `http://127.0.0.1:${this.listener.address().port}` }

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

/** Lets what is read of a socket come at this rate. */
function slow (socket, bytesPerSecond) {
  socket.on('data', bytes => {
    socket.pause()
    setTimeout(() => socket.resume(), bytes.length / bytesPerSecond * 1000)
  })
}
