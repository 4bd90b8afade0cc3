/**
 * The shapes on the whiteboard: a Y.Map from id to shape, each a Y.Map of its own, so that two people can change different
 * fields of one shape. Shapes of others are checked when they are read.
 */

import * as Y from 'yjs'

export const BOARD = { width: 1600, height: 1000 }
export const INKS = ['black', 'blue', 'green', 'amber', 'red', 'violet'] as const

/** The origin of this page's changes: only these are undone. */
export const OWN = 'whiteboard'

export type Kind = 'stroke' | 'box' | 'note'

export interface Shape {
  id: string
  kind: Kind
  x: number
  y: number
  width: number
  height: number
  ink: number
  /** When it was made; later shapes lie above earlier ones. */
  made: number
  /** Pairs of coordinates, relative to x and y. */
  points: number[]
  text: Y.Text | null
}

export class Shapes {
  readonly undo: Y.UndoManager
  #map: Y.Map<Y.Map<unknown>>

  constructor(private readonly doc: Y.Doc) {
    this.#map = doc.getMap('shapes')
    this.undo = new Y.UndoManager(this.#map, { trackedOrigins: new Set([OWN]) })
  }

  /** Calls `changed` with the ids of shapes that were made, changed or removed; the first call, at once, has all ids. */
  observe(changed: (ids: Set<string>) => void): void {
    this.#map.observeDeep(events => {
      changed(new Set(events.flatMap(event => event.path.length === 0 ? [...event.keys.keys()] : [String(event.path[0])])))
    })
    changed(new Set(this.#map.keys()))
  }

  /** Null if there is no such shape, or its fields make no sense. */
  read(id: string): Shape | null {
    const map = this.#map.get(id)
    if (!(map instanceof Y.Map)) return null
    const number = (key: string, most: number): number => {
      const value = map.get(key)
      return typeof value === 'number' && Number.isFinite(value) ? Math.min(Math.max(value, -most), most) : 0
    }
    const kind = map.get('kind')
    if (kind !== 'stroke' && kind !== 'box' && kind !== 'note') return null
    const points = map.get('points')
    const text = map.get('text')
    return {
      id,
      kind,
      x: number('x', 10_000),
      y: number('y', 10_000),
      width: number('width', 10_000),
      height: number('height', 10_000),
      ink: Math.abs(Math.trunc(number('ink', 1_000))) % INKS.length,
      made: number('made', Number.MAX_SAFE_INTEGER),
      points: points instanceof Y.Array ? points.toArray().map(value => Number.isFinite(value) ? value : 0) : [],
      text: text instanceof Y.Text ? text : null,
    }
  }

  /** Makes a shape of this person, and gives its id. */
  add(kind: Kind, x: number, y: number, width: number, height: number, ink: number): string {
    const id = `${this.doc.clientID.toString(36)}-${Date.now().toString(36)}-${Math.floor(Math.random() * 1e6).toString(36)}`
    this.#edit(() => {
      const map = new Y.Map<unknown>()
      const fields = { kind, x, y, width, height, ink, made: Date.now() }
      for (const [key, value] of Object.entries(fields)) map.set(key, value)
      if (kind === 'stroke') map.set('points', new Y.Array<number>())
      if (kind === 'note') map.set('text', new Y.Text())
      this.#map.set(id, map)
    })
    return id
  }

  /** Changes numbers of a shape that may be gone by now. */
  change(id: string, fields: Partial<Pick<Shape, 'x' | 'y' | 'width' | 'height'>>): void {
    const map = this.#map.get(id)
    if (map === undefined) return
    this.#edit(() => {
      for (const [key, value] of Object.entries(fields)) map.set(key, Math.round(value))
    })
  }

  /** Goes on with a stroke that may be gone by now. */
  extend(id: string, points: number[]): void {
    const all = this.#map.get(id)?.get('points')
    if (all instanceof Y.Array) this.#edit(() => all.push(points.map(Math.round)))
  }

  remove(id: string): void {
    if (this.#map.has(id)) this.#edit(() => this.#map.delete(id))
  }

  clear(): void {
    this.undo.stopCapturing()
    this.#edit(() => { for (const id of [...this.#map.keys()]) this.#map.delete(id) })
  }

  #edit(edit: () => void): void {
    this.doc.transact(edit, OWN)
  }
}
