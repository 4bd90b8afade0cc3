/** The names of rooms, and how URLs contain them. A room is several documents: `<room>/codemirror`, `<room>/quill` and so on. */

/** The server takes document names of 1,024 bytes; this leaves space for the part behind the room. */
const LONGEST_NAME = 512

const ADJECTIVES = ['amber', 'bold', 'brave', 'bright', 'calm', 'clever', 'cosy', 'eager', 'fair', 'gentle', 'golden', 'happy', 'kind',
  'lively', 'lucky', 'merry', 'mellow', 'nimble', 'noble', 'patient', 'plucky', 'quick', 'quiet', 'rosy', 'silver', 'sunny', 'swift', 'wise']
export const ANIMALS = ['badger', 'beaver', 'crane', 'dolphin', 'falcon', 'finch', 'fox', 'gecko', 'hare', 'heron', 'ibis', 'koala', 'lark',
  'lemur', 'lynx', 'magpie', 'marten', 'newt', 'otter', 'owl', 'panda', 'puffin', 'raven', 'robin', 'seal', 'stoat', 'swan', 'wren']

export function pick<T>(choices: readonly T[]): T {
  return choices[Math.floor(Math.random() * choices.length)] as T
}

/** A name that can be said over the phone: `quiet-otter-42`. */
export function randomRoom(): string {
  return `${pick(ADJECTIVES)}-${pick(ANIMALS)}-${10 + Math.floor(Math.random() * 90)}`
}

/** Why a room cannot have this name; null if it can. */
export function objection(room: string): string | null {
  // Browsers resolve these before they ask the server, even when they are percent-encoded.
  if (room === '.' || room === '..') return 'A room cannot be called by dots alone.'
  const bytes = new TextEncoder().encode(room).length
  if (bytes > LONGEST_NAME) return `The name of a room has at most ${LONGEST_NAME} bytes; this one has ${bytes}.`
  return null
}

/** The room that the page's URL names, or a new one, which is then put into the URL. */
export function roomOfPage(): string {
  const url = new URL(location.href)
  const named = url.searchParams.get('room')?.trim()
  if (named) return named
  const room = randomRoom()
  url.searchParams.set('room', room)
  history.replaceState(null, '', url)
  return room
}

/** The URL of a room to give to others, with an editor if one is given, and never with a token. */
export function linkTo(room: string, editor?: string): string {
  const url = new URL('/', location.href)
  url.searchParams.set('room', room)
  if (editor !== undefined) url.hash = editor
  return url.href
}

/** The path of one document of a room, percent-encoded: y-websocket does not do that. */
export function documentPath(room: string, part: string): string {
  return `${encodeURIComponent(room)}/${part}`
}
