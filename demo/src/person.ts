/** The person at this page, and how the others' awareness states are checked before anything uses them. */

import * as Y from 'yjs'
import type { Awareness } from 'y-protocols/awareness'
import { cleanName, numbered } from './names'
import { ANIMALS, pick } from './room-name'

/** The field `user` of an awareness state; the editors' bindings give its fields their names. */
export interface Person {
  name: string
  color: string
  colorLight: string
  /** Tells windows apart: a person has a client id of its own in each document. */
  page: string
  /** When the window came, in milliseconds of its own clock. */
  since: number
  /** Whether the name was chosen in this window. */
  named: boolean
}

/** Dark enough for white letters, light enough to be seen on the dark page, and far enough from each other. */
export const COLOURS = {
  pink: '#d6336c', orange: '#c03809', amber: '#a56810', green: '#418509', teal: '#05816c', blue: '#1971c2',
  indigo: '#6555fe', violet: '#af2bfc', magenta: '#d50fb9', plum: '#9d4ba5', rose: '#9f5463', slate: '#656a83',
} as const

/** In the local storage: the name and colour chosen last in this browser. */
const CHOSEN = 'coscribe.person'

/** In the session storage, while the window is between two pages: its person. */
const WINDOW = 'coscribe.window'

/**
 * The person of this window: the same as before a reload, or a new one, with the name chosen in this browser if there is one.
 * Browsers copy the session storage when a tab is duplicated. So the person is there only between two pages.
 */
export function personOfWindow(): Person {
  const kept = believed(parse(sessionStorage.getItem(WINDOW)))
  const me = kept ?? newPerson()
  const take = (): void => sessionStorage.removeItem(WINDOW)
  take()
  addEventListener('pageshow', take)
  return me
}

/** Keeps the window's person for its next page. */
export function keepForReload(me: () => Person): void {
  addEventListener('pagehide', () => sessionStorage.setItem(WINDOW, JSON.stringify(me())))
}

/** Keeps the chosen name and colour for further windows of this browser. */
export function remember({ name, color }: Person): void {
  localStorage.setItem(CHOSEN, JSON.stringify({ name, color }))
}

export function withLook(person: Person, name: string, color: string): Person {
  return { ...person, name, color, colorLight: `${color}33` }
}

/**
 * The person, changed if others could be taken for it. Of two alike, the one whose window came later changes: its colour, and
 * its name unless it was chosen in this window. All pages agree on who that is, and the earliest never changes, so it comes to rest.
 */
export function distinct(me: Person, others: Person[]): Person {
  const earlier = others.filter(other => isEarlier(other, me))
  const name = !me.named && earlier.some(other => other.name === me.name) ? numbered(me.name, new Set(others.map(({ name }) => name))) : me.name
  const color = earlier.some(other => other.color === me.color) ? freeColour(others) ?? me.color : me.color
  return name === me.name && color === me.color ? me : withLook(me, name, color)
}

function isEarlier(one: Person, other: Person): boolean {
  return one.since === other.since ? one.page < other.page : one.since < other.since
}

/** A colour that nobody has; undefined where there are more people than colours. */
function freeColour(others: Person[]): string | undefined {
  const taken = new Set(others.map(({ color }) => color))
  const free = Object.values(COLOURS).filter(colour => !taken.has(colour))
  return free.length === 0 ? undefined : pick(free)
}

function newPerson(): Person {
  const chosen = believed(parse(localStorage.getItem(CHOSEN)))
  const animal = pick(ANIMALS)
  const name = chosen?.name ?? `${animal[0]?.toUpperCase()}${animal.slice(1)}`
  const color = Object.values<string>(COLOURS).find(colour => colour === chosen?.color) ?? pick(Object.values(COLOURS))
  const page = crypto.randomUUID?.() ?? String(Math.random())
  return withLook({ ...NOBODY, page, since: Date.now() }, name, color)
}

function parse(json: string | null): unknown {
  try {
    return json === null ? null : JSON.parse(json)
  } catch {
    return null
  }
}

const NOBODY: Person = { name: 'Somebody', color: '#666b74', colorLight: '#666b7433', page: '', since: 0, named: false }

/** A person as another page or the storage describes it, with all fields cleaned; null if none is described. */
function believed(user: unknown): Person | null {
  if (typeof user !== 'object' || user === null) return null
  const { name, color, page, since, named } = user as Record<string, unknown>
  if (typeof name !== 'string' || typeof color !== 'string') return null
  // Bindings write the colour into style attributes.
  const colour = /^#[0-9a-f]{6}$/i.test(color) ? color.toLowerCase() : NOBODY.color
  const known = { page: typeof page === 'string' ? page : '', since: typeof since === 'number' ? since : 0, named: named === true }
  return withLook({ ...NOBODY, ...known }, cleanName(name) || NOBODY.name, colour)
}

/**
 * Repairs the others' states before any binding sees them: each has a name and a valid colour, and each position can be read.
 * To be called before anything else listens to `awareness`.
 */
export function distrust(awareness: Awareness, doc: Y.Doc): void {
  awareness.on('change', ({ added, updated }: { added: number[], updated: number[] }) => {
    for (const client of [...added, ...updated]) {
      const state = awareness.states.get(client)
      if (client === doc.clientID || state === undefined) continue
      awareness.states.set(client, {
        ...state,
        user: believed(state['user']) ?? NOBODY,
        cursor: positions(state['cursor'], doc),
        selection: positions(state['selection'], doc),
      })
    }
  })
}

/** A cursor or selection with both ends, or null. */
function positions(value: unknown, doc: Y.Doc): unknown {
  if (typeof value !== 'object' || value === null) return null
  const { anchor, head } = value as Record<string, unknown>
  const ends = { anchor: position(anchor, doc), head: position(head, doc) }
  return ends.anchor === null || ends.head === null ? null : { ...value, ...ends }
}

/** Null if it cannot be read; a position in text that has not arrived yet is read. */
function position(value: unknown, doc: Y.Doc): Y.RelativePosition | null {
  try {
    const position = Y.createRelativePositionFromJSON(value)
    Y.createAbsolutePositionFromRelativePosition(position, doc)
    return position
  } catch {
    return null
  }
}
