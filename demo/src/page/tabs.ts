/** The editors to choose from, with who is where and what is not saved yet. */

import { h, listIn } from '../dom'
import { EDITORS, type EditorId } from '../editors'
import type { Other, Room } from '../room'

/** So many of those who are in an editor have a dot on its tab. */
const MOST_DOTS = 4

export function tabs(room: Room, go: (editor: EditorId) => void): { element: HTMLElement, render: () => void } {
  const all = EDITORS.map(({ id, title, about }) => {
    const dots = h('span', { class: 'dots' })
    const tab = h('button', { type: 'button', role: 'tab', id: `tab-${id}`, 'aria-controls': `panel-${id}`, onclick: () => go(id) }, h('span', { class: 'label', 'data-text': title }, title), dots)
    const showDots = listIn<Other>(dots, ({ person }) => person.page, () => h('i'), (dot, { person }) => dot.style.setProperty('--person', person.color))
    return { id, about, tab, showDots }
  })
  const element = h('div', { role: 'tablist', class: 'tabs', 'aria-label': 'Editors' }, ...all.map(({ tab }) => tab))
  element.addEventListener('keydown', event => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
    if (step === undefined) return
    const next = all[(all.findIndex(({ id }) => id === room.current) + step + all.length) % all.length]
    next?.tab.focus()
    if (next !== undefined) go(next.id)
  })
  const render = (): void => {
    const others = room.others()
    for (const { id, about, tab, showDots } of all) {
      const here = others.filter(({ editor }) => editor === id)
      if (id === room.current && tab.ariaSelected !== 'true') tab.scrollIntoView({ block: 'nearest', inline: 'center' })
      tab.setAttribute('aria-selected', String(id === room.current))
      tab.tabIndex = id === room.current ? 0 : -1
      tab.title = [about, ...here.map(({ person }) => `${person.name} is here`)].join('\n')
      tab.classList.toggle('unsaved', (room.documents.get(id)?.connection.saved.waiting ?? 0) > 0)
      showDots(here.slice(0, MOST_DOTS))
    }
  }
  room.peopleChanged.listen(render)
  return { element, render }
}
