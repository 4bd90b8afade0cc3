/** Documents by y-websocket: each has a socket of its own, with the document's name in the path. */

import * as decoding from 'lib0/decoding'
import type { Awareness } from 'y-protocols/awareness'
import { WebsocketProvider } from 'y-websocket'
import type * as Y from 'yjs'
import { documentPath } from '../room-name'
import { Confirmed } from './confirmed'
import type { Connection, Connector } from './connection'
import { Reconnecting } from './reconnecting'
import { countingSocket, Traffic } from './traffic'

const MESSAGE_AUTH = 2

export const yWebsocket: Connector = token => (room, part, doc, awareness) => {
  return new YWebsocketConnection(documentPath(room, part), doc, awareness, token)
}

class YWebsocketConnection extends Reconnecting implements Connection {
  readonly traffic = new Traffic()
  readonly saved: Confirmed
  #denied: string | null = null
  #provider: WebsocketProvider

  constructor(path: string, doc: Y.Doc, awareness: Awareness, token: string | null) {
    super()
    const provider = new WebsocketProvider(location.origin.replace(/^http/, 'ws'), path, doc, {
      awareness,
      connect: false,
      // Two windows of one browser would go on talking to each other when the connection is cut.
      disableBc: true,
      params: token === null ? {} : { token },
      WebSocketPolyfill: countingSocket(() => this.traffic),
      shouldReconnect: () => true, // decided here
    })
    this.#provider = provider
    this.saved = new Confirmed(provider, doc)
    provider.on('connection-close', event => {
      // The provider itself was told to disconnect.
      if (!provider.shouldConnect) return
      provider.shouldConnect = false
      this.closed(event, this.#denied)
    })
    provider.on('status', ({ status }) => { if (status === 'connected') this.opened() })
    provider.on('sync', synced => { if (synced) this.synced() })
    provider.messageHandlers[MESSAGE_AUTH] = (_encoder, decoder) => {
      decoding.readVarUint(decoder)
      this.#denied = decoding.readVarString(decoder)
    }
  }

  protected override open(): void {
    this.#denied = null
    this.#provider.connect()
  }

  protected override close(): void {
    // Otherwise the socket has closed already.
    if (this.#provider.shouldConnect) this.#provider.disconnect()
  }
}
