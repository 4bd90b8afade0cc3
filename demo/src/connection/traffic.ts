/** Messages and bytes of a document's connection, both ways. */

export interface Flow {
  messages: number
  bytes: number
}

export class Traffic {
  readonly received: Flow = { messages: 0, bytes: 0 }
  readonly sent: Flow = { messages: 0, bytes: 0 }
}

/** A WebSocket for a provider. Each message counts in the traffic of its document, if it is of one. */
export function countingSocket(trafficOf: (message: Uint8Array) => Traffic | undefined): typeof WebSocket {
  return class extends WebSocket {
    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols)
      this.addEventListener('message', event => {
        const message = new Uint8Array(event.data as ArrayBuffer)
        count(trafficOf(message)?.received, message)
      })
    }

    // Providers send nothing but Uint8Arrays.
    override send(message: Uint8Array<ArrayBuffer>): void {
      count(trafficOf(message)?.sent, message)
      super.send(message)
    }
  }
}

function count(flow: Flow | undefined, message: Uint8Array): void {
  if (flow === undefined) return
  flow.messages += 1
  flow.bytes += message.byteLength
}
