// The unmodified client of y-sweet.

import WebSocket from 'ws'
import { createYjsProvider } from '@y-sweet/client'
import { Y } from './clients.mjs'

/** A client as an editor makes it, with what happens to it at hand. `tokens` gives it its tokens. */
export function open (t, name, tokens, options = {}) {
  const doc = options.doc ?? new Y.Doc()
  const happened = { statuses: [], closed: [], tokens: 0 }
  let isOver = false
  const endpoint = async () => {
    if (isOver) return await new Promise(() => {}) // it goes on connecting after its end
    happened.tokens++
    return await tokens()
  }
  const provider = createYjsProvider(doc, name, endpoint, { WebSocketPolyfill: WebSocket, showDebuggerLink: false, ...options })
  provider.on('connection-status', status => happened.statuses.push(status))
  provider.on('connection-close', event => happened.closed.push(event))
  t.after(() => {
    isOver = true
    provider.disconnect()
    provider.destroy()
    doc.destroy()
  })
  return Object.assign(provider, { doc, happened, text: doc.getText('text'), map: doc.getMap('map'), array: doc.getArray('array') })
}
