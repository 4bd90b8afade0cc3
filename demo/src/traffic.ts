/** Messages and bytes of a document's connection, both ways. */

export interface Flow {
  messages: number
  bytes: number
}

export class Traffic {
  readonly received: Flow = { messages: 0, bytes: 0 }
  readonly sent: Flow = { messages: 0, bytes: 0 }

  /** A WebSocket for a provider, whose messages count here. */
  socket(): typeof WebSocket {
    const { received, sent } = this
    return class extends WebSocket {
      constructor(url: string | URL, protocols?: string | string[]) {
        super(url, protocols)
        this.addEventListener('message', event => count(received, event.data as ArrayBuffer))
      }

      // Providers send nothing but Uint8Arrays.
      override send(message: Uint8Array<ArrayBuffer>): void {
        count(sent, message)
        super.send(message)
      }
    }
  }
}

function count(flow: Flow, message: { byteLength: number }): void {
  flow.messages += 1
  flow.bytes += message.byteLength
}
