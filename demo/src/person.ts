/** The person at this page, and how the others' awareness states are checked before anything uses them. */

import * as Y from 'yjs'
import type { Awareness } from 'y-protocols/awareness'
import { ANIMALS, pick } from './room-name'

/** The field `user` of an awareness state; the editors' bindings give its fields their names. */
export interface Person {
  name: string
  color: string
  colorLight: string
  /** Tells pages apart: a person has a client id of its own in each document. */
  page: string
}

/** Dark enough for white letters. */
export const COLOURS = {
  pink: '#d6336c', purple: '#ae3ec9', violet: '#7048e8', indigo: '#4263eb', blue: '#1971c2', teal: '#0b7285', emerald: '#087f5b', green: '#2b8a3e',
  amber: '#a05a00', orange: '#c2410c', red: '#c92a2a',
} as const

const LONGEST_NAME = 32
const STORED = 'coscribe.person'

export function person(name: string, color: string, page: string): Person {
  return { name, color, colorLight: `${color}33`, page }
}

/** The person chosen in this browser. Until one is chosen, each window has a person of its own, so that two windows differ. */
export function personOfPage(): Person {
  const page = crypto.randomUUID?.() ?? String(Math.random())
  const stored = parse(localStorage.getItem(STORED) ?? sessionStorage.getItem(STORED))
  const known = stored === null ? null : believed(stored)
  if (known !== null) return { ...known, page }
  const animal = pick(ANIMALS)
  const made = person(`${animal[0]?.toUpperCase()}${animal.slice(1)}`, pick(Object.values(COLOURS)), page)
  sessionStorage.setItem(STORED, JSON.stringify(made))
  return made
}

/** Keeps the chosen name and colour for all windows of this browser. */
export function keep(chosen: Person): void {
  localStorage.setItem(STORED, JSON.stringify(chosen))
}

/** A name on one line, of bounded length. */
export function cleanName(name: string): string {
  const line = name.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim()
  return [...line].slice(0, LONGEST_NAME).join('')
}

function parse(json: string | null): unknown {
  try {
    return json === null ? null : JSON.parse(json)
  } catch {
    return null
  }
}

/** Another page's person, with name and colour cleaned; null if it describes none. */
function believed(user: unknown): Person | null {
  if (typeof user !== 'object' || user === null) return null
  const { name, color, page } = user as Record<string, unknown>
  if (typeof name !== 'string' || typeof color !== 'string') return null
  // Bindings write the colour into style attributes.
  const colour = /^#[0-9a-f]{6}$/i.test(color) ? color : '#868e96'
  return person(cleanName(name) || 'Somebody', colour, typeof page === 'string' ? page : '')
}

const NOBODY = person('Somebody', '#868e96', '')

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
