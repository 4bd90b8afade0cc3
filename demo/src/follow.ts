/** Following a person: this page shows the part of the document that is on their screen, in the editor that they are in. */

import type { SharedDocument } from './document'
import type { Viewport } from './editors/editor'
import type { Room } from './room'
import { Signal } from './signal'

/** The interval at which this page tells what part of a document it shows, in milliseconds. */
const INTERVAL = 80

export class Following {
  readonly changed = new Signal()
  /** The page that is followed. */
  page: string | null = null

  constructor(private readonly room: Room, private readonly go: (editor: Room['current']) => void) {
    room.peopleChanged.listen(() => this.#moved())
    addEventListener('keydown', event => { if (event.key === 'Escape') this.stop() })
  }

  start(page: string): void {
    this.page = page
    this.changed.emit()
    this.#moved()
  }

  stop(): void {
    if (this.page === null) return
    this.page = null
    this.changed.emit()
  }

  /** Tells the others which part of a document this page shows, and shows the part that the followed page does. */
  attach(shared: SharedDocument, viewport: Viewport): void {
    let timer = 0
    viewport.element.addEventListener('scroll', () => {
      if (timer !== 0) return
      timer = window.setTimeout(() => {
        timer = 0
        shared.show('viewport', viewport.where())
      }, INTERVAL)
    })
    for (const own of ['wheel', 'touchmove', 'pointerdown', 'beforeinput']) {
      viewport.element.addEventListener(own, () => this.stop(), { passive: true })
    }
    const follow = (): void => {
      if (this.page === null || this.room.document !== shared) return
      const where = this.room.shownBy(this.page)?.viewport
      if (where !== undefined) viewport.show(where)
    }
    shared.awareness.on('change', follow)
    this.changed.listen(follow)
  }

  #moved(): void {
    if (this.page === null) return
    const followed = this.room.others().find(({ person }) => person.page === this.page)
    if (followed === undefined) this.stop()
    else if (followed.editor !== null && followed.editor !== this.room.current) this.go(followed.editor)
  }
}
