/** The note on the editor that says who is followed, and stops it. */

import { h } from '../dom'
import type { Following } from '../follow'
import type { Room } from '../room'

/** Marks the stage while somebody is followed; returns the note. */
export function followed(room: Room, following: Following, stage: HTMLElement): HTMLElement {
  const name = h('span')
  const note = h('button', { type: 'button', class: 'followed', hidden: true, onclick: () => following.stop() },
    name, h('span', { class: 'with-keys' }, ' · Esc stops it'), h('span', { class: 'with-touch' }, ' · tap to stop'))
  const render = (): void => {
    const person = room.others().find(({ person }) => person.page === following.page)?.person
    stage.classList.toggle('following', person !== undefined)
    stage.style.setProperty('--person', person?.color ?? '')
    note.hidden = person === undefined
    name.textContent = `Following ${person?.name}`
  }
  following.changed.listen(render)
  room.peopleChanged.listen(render)
  return note
}
