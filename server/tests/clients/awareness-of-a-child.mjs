// A client in a process of its own, to be killed: node awareness-of-a-child.mjs <version> <server URL> <document>

import WebSocket from 'ws'
import * as Y from 'yjs'
import { PROVIDERS } from './clients.mjs'

const [version, url, name] = process.argv.slice(2)
const provider = new PROVIDERS[version](url, name, new Y.Doc(), { disableBc: true, WebSocketPolyfill: WebSocket })
provider.awareness.setLocalState({ name: 'child' })
