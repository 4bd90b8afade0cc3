import { h, icon } from '../dom'
import { Pointers } from '../whiteboard/pointers'
import { BOARD, INKS, Shapes } from '../whiteboard/shapes'
import { ShapesView } from '../whiteboard/view'
import type { Mount } from './editor'
import './whiteboard.css'

const TOOLS = {
  move: { title: 'Move', path: 'M5 3l14 8-6 2-3 6z' },
  pen: { title: 'Draw', path: 'M4 20l1-4L16 5l3 3L8 19z' },
  box: { title: 'Rectangle', path: 'M4 6h16v12H4z' },
  note: { title: 'Note', path: 'M5 4h14v10l-5 6H5zM14 20v-6h5' },
  erase: { title: 'Erase', path: 'M4 15l9-9 6 6-7 7H8zM9 10l6 6' },
} as const

type Tool = keyof typeof TOOLS

const NOTE = { width: 220, height: 180 }

/** Below this scale, text is too small to read, and notes are too small for fingers: the board scrolls instead. */
const SMALLEST_SCALE = matchMedia('(pointer: coarse)').matches ? 0.6 : 0.45

export const mount: Mount = (parent, shared) => {
  const shapes = new Shapes(shared.doc)
  const board = new Board(shapes, new Pointers(shared))
  parent.append(toolbar(board, shapes), board.element)
  addEventListener('keydown', event => {
    // Undoing may remove what has the focus; the keys go on working.
    const isHere = event.target === document.body || parent.contains(event.target as Node)
    if (isHere && parent.offsetParent !== null) undoByKeys(event, shapes)
  })
  return {
    focus: () => board.element.focus(),
    left: () => shared.show('pointer', null),
  }
}

class Board {
  readonly element: HTMLElement
  tool: Tool = 'pen'
  ink = 1
  #surface: HTMLElement
  #view: ShapesView
  #scale = 1
  /** Called with each move of the pointer while it is down. */
  #drag: ((x: number, y: number) => void) | null = null

  constructor(private readonly shapes: Shapes, private readonly pointers: Pointers) {
    this.#view = new ShapesView(shapes)
    this.#surface = h('div', { class: 'board' }, this.#view.svg, this.#view.notes, pointers.element)
    const size = h('div', { class: 'board-size' }, this.#surface)
    this.element = h('div', { class: 'scroller', tabindex: '0', role: 'application', 'aria-label': 'Whiteboard' }, size)
    this.#surface.addEventListener('pointerdown', event => this.#down(event))
    this.#surface.addEventListener('pointermove', event => this.#move(event))
    this.#surface.addEventListener('pointerup', () => { this.#drag = null })
    this.#surface.addEventListener('pointercancel', () => { this.#drag = null })
    this.#surface.addEventListener('pointerleave', () => pointers.moved(null))
    new ResizeObserver(() => this.#fit(size)).observe(this.element)
    this.take('pen')
  }

  take(tool: Tool): void {
    this.tool = tool
    this.#surface.dataset['tool'] = tool
  }

  /** Puts a box or note into the middle, for people without a pointer. */
  insert(tool: 'box' | 'note'): void {
    this.shapes.undo.stopCapturing()
    const { width, height } = tool === 'note' ? NOTE : { width: 240, height: 160 }
    const id = this.shapes.add(tool, (BOARD.width - width) / 2, (BOARD.height - height) / 2, width, height, this.ink)
    if (tool === 'note') this.#view.focusNote(id)
  }

  #down(event: PointerEvent): void {
    if (event.button !== 0) return
    const { x, y } = this.#point(event)
    const id = this.#view.idOf(event.target)
    const isWriting = event.target instanceof HTMLTextAreaElement || event.target instanceof HTMLButtonElement
    if (isWriting && this.tool !== 'erase') return
    this.shapes.undo.stopCapturing()
    if (this.tool === 'erase') this.#erase(event)
    else if (this.tool === 'note') this.#note(event, x, y)
    else if (this.tool === 'move') this.#grab(id, x, y)
    else if (this.tool === 'pen') this.#draw(x, y)
    else this.#stretch(x, y)
    // With all events at the board, a stroke goes on where the pointer leaves it.
    if (this.#drag !== null) this.#surface.setPointerCapture(event.pointerId)
  }

  #move(event: PointerEvent): void {
    const { x, y } = this.#point(event)
    this.pointers.moved({ x, y })
    this.#drag?.(x, y)
    if (this.tool === 'erase' && event.buttons === 1) this.#erase(event)
  }

  #draw(x: number, y: number): void {
    const id = this.shapes.add('stroke', x, y, 0, 0, this.ink)
    this.shapes.extend(id, [0, 0])
    this.#drag = (toX, toY) => this.shapes.extend(id, [toX - x, toY - y])
  }

  #stretch(x: number, y: number): void {
    let id: string | null = null
    this.#drag = (toX, toY) => {
      id ??= this.shapes.add('box', x, y, 0, 0, this.ink)
      this.shapes.change(id, { width: toX - x, height: toY - y })
    }
  }

  #grab(id: string | null, x: number, y: number): void {
    const shape = id === null ? null : this.shapes.read(id)
    if (shape === null) return
    this.#drag = (toX, toY) => this.shapes.change(shape.id, { x: shape.x + toX - x, y: shape.y + toY - y })
  }

  #note(event: PointerEvent, x: number, y: number): void {
    event.preventDefault() // keeps the focus where it is going
    this.#view.focusNote(this.shapes.add('note', x, y, NOTE.width, NOTE.height, this.ink))
  }

  #erase(event: PointerEvent): void {
    const id = this.#view.idOf(document.elementFromPoint(event.clientX, event.clientY))
    if (id !== null) this.shapes.remove(id)
  }

  /** Where on the board an event is. */
  #point(event: PointerEvent): { x: number, y: number } {
    const { left, top } = this.#surface.getBoundingClientRect()
    return { x: Math.round((event.clientX - left) / this.#scale), y: Math.round((event.clientY - top) / this.#scale) }
  }

  #fit(size: HTMLElement): void {
    const { clientWidth, clientHeight } = this.element
    if (clientWidth === 0) return
    this.#scale = Math.max(Math.min(clientWidth / BOARD.width, clientHeight / BOARD.height), SMALLEST_SCALE)
    this.#surface.style.setProperty('--scale', String(this.#scale))
    Object.assign(size.style, { width: `${BOARD.width * this.#scale}px`, height: `${BOARD.height * this.#scale}px` })
    this.#surface.style.transform = `scale(${this.#scale})`
  }
}

function toolbar(board: Board, shapes: Shapes): HTMLElement {
  const tools = Object.entries(TOOLS).map(([tool, { title, path }]) => {
    return h('button', { type: 'button', title, 'aria-label': title, 'data-tool': tool, onclick: (event: MouseEvent) => choose(tool as Tool, event) }, icon(path))
  })
  const inks = INKS.map((ink, index) => {
    return h('button', { type: 'button', title: ink, 'aria-label': ink, class: `ink ink-${ink}`, onclick: () => colour(index) })
  })
  const choose = (tool: Tool, event?: MouseEvent): void => {
    board.take(tool)
    for (const button of tools) button.setAttribute('aria-pressed', String(button.dataset['tool'] === tool))
    const byKeyboard = event?.detail === 0
    if (byKeyboard && (tool === 'box' || tool === 'note')) board.insert(tool)
  }
  const colour = (index: number): void => {
    board.ink = index
    inks.forEach((button, at) => button.setAttribute('aria-pressed', String(at === index)))
  }
  choose(board.tool)
  colour(board.ink)
  return h('div', { class: 'toolbar', role: 'toolbar', 'aria-label': 'Whiteboard tools' }, ...tools, h('span', { class: 'gap' }), ...inks, h('span', { class: 'gap' }),
    h('button', { type: 'button', title: 'Undo', 'aria-label': 'Undo', onclick: () => shapes.undo.undo() }, '↶'),
    h('button', { type: 'button', title: 'Redo', 'aria-label': 'Redo', onclick: () => shapes.undo.redo() }, '↷'),
    h('button', { type: 'button', onclick: () => shapes.clear() }, 'Clear'))
}

function undoByKeys(event: KeyboardEvent, shapes: Shapes): void {
  if (!(event.ctrlKey || event.metaKey)) return
  const key = event.key.toLowerCase()
  if (key === 'y' || (key === 'z' && event.shiftKey)) shapes.undo.redo()
  else if (key === 'z') shapes.undo.undo()
  else return
  event.preventDefault()
}
