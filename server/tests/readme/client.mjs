// A client in which lines of docs/access.md run, as a process: `client.mjs FILE`, told over IPC to type and asked what it shows.

import { pathToFileURL } from 'node:url'
import WebSocket from 'ws'

let refused = ''
globalThis.WebSocket = WebSocket
globalThis.show = reason => { refused = `refused: ${reason}` }

const { provider } = await import(pathToFileURL(process.argv[2]))
const text = (provider.doc ?? provider.document).getText('text')

process.on('message', ({ typed }) => {
  if (typed !== undefined) text.insert(text.length, typed)
  process.send({ shown: text + refused })
})
process.send({ shown: refused })
