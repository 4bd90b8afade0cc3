/** The others' mouse pointers above the whiteboard. */

import { h, svg } from '../dom'
import type { EditorDocument } from '../editors/editor'

/** The interval at which this page tells where its pointer is, in milliseconds. */
const INTERVAL = 40

interface Point { x: number, y: number }

export class Pointers {
  readonly element = h('div', { class: 'pointers', 'aria-hidden': 'true' })
  #shown = new Map<number, HTMLElement>()
  #next: Point | null = null
  #timer = 0

  constructor(private readonly shared: EditorDocument) {
    shared.awareness.on('change', () => this.#render())
    this.#render()
  }

  /** Where this page's pointer is; null if it is not on the board. */
  moved(point: Point | null): void {
    this.#next = point
    if (this.#timer !== 0) return
    this.#timer = window.setTimeout(() => {
      this.#timer = 0
      this.shared.show('pointer', this.#next)
    }, INTERVAL)
  }

  #render(): void {
    const others = this.shared.others()
    for (const [client, element] of this.#shown) {
      if (pointOf(others.get(client)?.pointer) === null) {
        element.remove()
        this.#shown.delete(client)
      }
    }
    for (const [client, { user, pointer }] of others) {
      const point = pointOf(pointer)
      if (point === null) continue
      const element = this.#shown.get(client) ?? this.#make(client)
      element.style.setProperty('--person', user.color)
      element.style.transform = `translate(${point.x}px, ${point.y}px)`
      const name = element.querySelector('span')
      if (name !== null) name.textContent = user.name
    }
  }

  #make(client: number): HTMLElement {
    const arrow = svg('svg', { viewBox: '0 0 20 20' }, svg('path', { d: 'M2 2l5 15 3-6 6-3z' }))
    const element = h('div', { class: 'pointer' }, arrow, h('span'))
    this.element.append(element)
    this.#shown.set(client, element)
    return element
  }
}

function pointOf(pointer: unknown): Point | null {
  const { x, y } = (pointer ?? {}) as Record<string, unknown>
  return typeof x === 'number' && typeof y === 'number' && Number.isFinite(x) && Number.isFinite(y) ? { x, y } : null
}
