/** Shapes on the page: strokes and boxes in one SVG, notes above it as text fields. */

import { h, svg } from '../dom'
import { BOARD, INKS, type Shape, type Shapes } from './shapes'
import { bindText } from './text'

const STEP = 10

export class ShapesView {
  readonly svg = svg('svg', { viewBox: `0 0 ${BOARD.width} ${BOARD.height}`, class: 'strokes' })
  readonly notes = h('div', { class: 'notes' })
  #elements = new Map<string, SVGElement | HTMLElement>()

  constructor(private readonly shapes: Shapes) {
    shapes.observe(ids => { for (const id of ids) this.#render(id) })
  }

  /** The shape that an element belongs to. */
  idOf(target: EventTarget | null): string | null {
    return target instanceof Element ? target.closest<HTMLElement>('[data-shape]')?.dataset['shape'] ?? null : null
  }

  focusNote(id: string): void {
    this.#elements.get(id)?.querySelector('textarea')?.focus()
  }

  #render(id: string): void {
    const shape = this.shapes.read(id)
    const shown = this.#elements.get(id)
    if (shape === null) {
      shown?.remove()
      this.#elements.delete(id)
      return
    }
    const element = shown ?? this.#make(shape)
    element.setAttribute('class', `shape ${shape.kind} ink-${INKS[shape.ink]}`)
    if (element instanceof HTMLElement) placeNote(element, shape)
    else place(element, shape)
  }

  #make(shape: Shape): SVGElement | HTMLElement {
    const element = shape.kind === 'note' ? this.#makeNote(shape) : makeDrawing(shape)
    element.dataset['shape'] = shape.id
    element.dataset['made'] = String(shape.made)
    element.addEventListener('keydown', event => this.#key(event as KeyboardEvent, shape.id))
    const layer = shape.kind === 'note' ? this.notes : this.svg
    const above = [...layer.children].find(other => Number((other as HTMLElement).dataset['made']) > shape.made)
    layer.insertBefore(element, above ?? null)
    this.#elements.set(shape.id, element)
    return element
  }

  #makeNote(shape: Shape): HTMLElement {
    const field = h('textarea', { 'aria-label': 'Note', placeholder: 'Note' })
    if (shape.text !== null) bindText(field, shape.text)
    const remove = h('button', { type: 'button', 'aria-label': 'Remove note', title: 'Remove', onclick: () => this.shapes.remove(shape.id) }, '×')
    return h('div', { tabindex: '0', role: 'group', 'aria-label': 'Note: move by arrow keys' }, h('div', { class: 'grip' }, remove), field)
  }

  /** Arrows move what has the focus, Delete removes it. */
  #key(event: KeyboardEvent, id: string): void {
    if (event.target !== event.currentTarget) return
    const shape = this.shapes.read(id)
    const [x, y] = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key] ?? [0, 0]
    if (event.key === 'Delete' || event.key === 'Backspace') this.shapes.remove(id)
    else if (shape !== null && (x !== 0 || y !== 0)) this.shapes.change(id, { x: shape.x + (x ?? 0), y: shape.y + (y ?? 0) })
    else return
    event.preventDefault()
  }
}

function makeDrawing(shape: Shape): SVGElement {
  const label = shape.kind === 'box' ? 'Rectangle' : 'Stroke'
  return svg(shape.kind === 'box' ? 'rect' : 'polyline', { tabindex: '0', role: 'img', 'aria-label': `${label}: move by arrow keys` })
}

function place(element: SVGElement, { kind, x, y, width, height, points }: Shape): void {
  if (kind === 'box') {
    const corner = { x: Math.min(x, x + width), y: Math.min(y, y + height), width: Math.abs(width), height: Math.abs(height), rx: 6 }
    for (const [name, value] of Object.entries(corner)) element.setAttribute(name, String(value))
  } else {
    // A stroke of one point is a dot.
    element.setAttribute('points', (points.length === 2 ? [...points, ...points] : points).join(' '))
    element.setAttribute('transform', `translate(${x} ${y})`)
  }
}

function placeNote(element: HTMLElement, { x, y, width, height }: Shape): void {
  Object.assign(element.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` })
}
