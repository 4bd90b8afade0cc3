/** The names beside the others' carets. They stand there for a moment after a caret has moved: longer, and they hide text. */

import type { EditorDocument } from './editor'
import { Signal } from '../signal'

/** How long, in milliseconds. */
const MOMENT = 2_000

/** Who has moved just now, or is typing. */
export class Moving {
  readonly changed = new Signal()
  #places = new Map<number, string>()
  #timers = new Map<number, number>()

  constructor(private readonly shared: EditorDocument) {
    shared.awareness.on('change', ({ added, updated, removed }: Record<'added' | 'updated' | 'removed', number[]>) => {
      for (const client of removed) this.#places.delete(client)
      for (const client of [...added, ...updated]) this.#look(client)
      this.changed.emit()
    })
  }

  has(client: number): boolean {
    return this.#timers.has(client) || this.shared.others().get(client)?.typing === true
  }

  #look(client: number): void {
    const { cursor, selection, typing } = (this.shared.awareness.getStates().get(client) ?? {}) as Record<string, unknown>
    const place = JSON.stringify([cursor, selection, typing])
    if (this.#places.get(client) === place) return
    this.#places.set(client, place)
    clearTimeout(this.#timers.get(client))
    this.#timers.set(client, window.setTimeout(() => {
      this.#timers.delete(client)
      this.changed.emit()
    }, MOMENT))
  }
}

/** Shows the flags of an editor, which have the people's names as text, by a class. */
export function showFlags(parent: HTMLElement, shared: EditorDocument, selector: string): void {
  const moving = new Moving(shared)
  const show = (): void => {
    const names = new Set([...shared.others()].filter(([client]) => moving.has(client)).map(([, { user }]) => user.name))
    for (const flag of parent.querySelectorAll(selector)) flag.classList.toggle('shown', names.has(flag.textContent.trim()))
  }
  moving.changed.listen(show)
  // Editors draw carets anew, and some do it later.
  new MutationObserver(show).observe(parent, { childList: true, subtree: true })
}
