// Unmodified providers of Hocuspocus.

import WebSocket from 'ws'
import * as Hocuspocus2 from 'hocuspocus-provider-2'
import * as Hocuspocus3 from 'hocuspocus-provider-3'
import * as Hocuspocus4 from 'hocuspocus-provider-4'
import { Y } from './clients.mjs'

/** The versions of Hocuspocus' provider that people use. */
export const VERSIONS = { 2: Hocuspocus2, 3: Hocuspocus3, 4: Hocuspocus4 }

/** A socket as an application makes it for many documents; gone after the test. */
export function socketOf (t, { HocuspocusProviderWebsocket }, server, options = {}) {
  const socket = new HocuspocusProviderWebsocket({ url: server.url, WebSocketPolyfill: WebSocket, ...options })
  const leaving = []
  t.after(() => {
    leaving.forEach(leave => leave()) // a provider that is destroyed after its socket may open that again
    socket.destroy()
  })
  return Object.assign(socket, { leaving })
}

/** A provider of a document on such a socket, with what happens to it at hand. */
export function open (t, version, socket, name, options = {}) {
  const doc = options.document ?? new Y.Doc()
  const happened = { closed: [], denied: [], unsynced: [], scopes: [], texts: [] }
  const provider = new version.HocuspocusProvider({
    websocketProvider: socket,
    name,
    document: doc,
    token: 'secret',
    preserveConnection: true,
    onClose: ({ event }) => happened.closed.push(event),
    onAuthenticationFailed: ({ reason }) => happened.denied.push(reason),
    onAuthenticated: event => happened.scopes.push(event?.scope), // version 2 does not say
    onStateless: ({ payload }) => happened.texts.push(payload),
    ...options
  })
  provider.attach?.()
  socket.leaving.push(() => {
    provider.destroy()
    doc.destroy()
  })
  return Object.assign(provider, { doc, happened, text: doc.getText('text'), map: doc.getMap('map'), array: doc.getArray('array') })
}
