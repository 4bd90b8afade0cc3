/** The editors to choose from, with who is where and what is not saved yet. */

import { h } from '../dom'
import { EDITORS, type EditorId } from '../editors'
import type { Place } from '../place'

export function tabs(place: Place, go: (editor: EditorId) => void): { element: HTMLElement, render: () => void } {
  const all = EDITORS.map(({ id, title, about }) => {
    const dots = h('span', { class: 'dots' })
    const tab = h('button', { type: 'button', role: 'tab', id: `tab-${id}`, 'aria-controls': `panel-${id}`, title: about, onclick: () => go(id) }, title, dots)
    return { id, tab, dots }
  })
  const element = h('div', { role: 'tablist', class: 'tabs', 'aria-label': 'Editors' }, ...all.map(({ tab }) => tab))
  element.addEventListener('keydown', event => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
    if (step === undefined) return
    const next = all[(all.findIndex(({ id }) => id === place.current) + step + all.length) % all.length]
    next?.tab.focus()
    if (next !== undefined) go(next.id)
  })
  const render = (): void => {
    const others = place.others()
    for (const { id, tab, dots } of all) {
      tab.setAttribute('aria-selected', String(id === place.current))
      tab.tabIndex = id === place.current ? 0 : -1
      tab.classList.toggle('unsaved', (place.documents.get(id)?.saved.waiting ?? 0) > 0)
      dots.replaceChildren(...others.filter(({ editor }) => editor === id).slice(0, 4).map(({ person }) => {
        const dot = h('i', { title: `${person.name} is here` })
        dot.style.setProperty('--person', person.color)
        return dot
      }))
    }
  }
  place.peopleChanged.listen(render)
  return { element, render }
}
