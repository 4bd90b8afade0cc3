/** The room and its link, who is here, and what concerns the whole page. */

import { h, icon, svg } from '../dom'
import { EDITORS } from '../editors'
import type { Following } from '../follow'
import type { Place } from '../place'
import { linkTo } from '../room'
import { toggleTheme } from '../theme'
import { ICONS } from './icons'
import { profile } from './profile'

export function header(place: Place, following: Following): HTMLElement {
  document.title = `${place.room} · coscribe`
  return h('header', {},
    h('a', { class: 'brand', href: '/', title: 'A new room' }, mark(), h('strong', {}, 'coscribe')),
    h('div', { class: 'room' }, h('span', { class: 'room-name', title: place.room }, place.room), copyButton(place)),
    people(place, following),
    h('a', { class: 'button', href: linkTo(place.room), target: '_blank', rel: 'noopener', title: 'The same room in a second window' }, icon(ICONS.window), h('span', { class: 'wide' }, 'Second window')),
    h('button', { type: 'button', class: 'quiet', title: 'Light or dark', 'aria-label': 'Light or dark', onclick: toggleTheme }, icon(ICONS.theme)))
}

function mark(): SVGElement {
  return svg('svg', { viewBox: '0 0 32 32', class: 'mark', 'aria-hidden': 'true' },
    svg('path', { class: 'first', d: 'M4 4l8 20 3-8 8-3z' }), svg('path', { class: 'second', d: 'M15 13l6 15 2.2-5.800 5.800-2.200z' }))
}

function copyButton(place: Place): HTMLElement {
  const label = h('span', { class: 'wide' }, 'Copy link')
  const copy = async (): Promise<void> => {
    const link = linkTo(place.room, place.current)
    // Only where the page was loaded safely; elsewhere the person copies it from a dialog.
    if (navigator.clipboard === undefined) prompt('The link to this room:', link)
    else await navigator.clipboard.writeText(link).then(() => { label.textContent = 'Copied' }, () => prompt('The link to this room:', link))
    setTimeout(() => { label.textContent = 'Copy link' }, 2000)
  }
  return h('button', { type: 'button', class: 'quiet', title: 'Copy the link to this room', 'aria-label': 'Copy the link to this room', onclick: copy }, icon(ICONS.link), label)
}

function people(place: Place, following: Following): HTMLElement {
  const list = h('ul', { class: 'people', 'aria-label': 'People in this room' })
  const render = (): void => {
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset['page'] : undefined
    const me = h('button', { type: 'button', class: 'avatar me', 'data-page': 'me', 'aria-label': `${place.me.name} (you): change name and colour`, title: 'Change name and colour', onclick: () => profile(place) }, ...face(place.me.name, 'You'))
    me.style.setProperty('--person', place.me.color)
    list.replaceChildren(h('li', {}, me), ...place.others().map(({ person, editor }) => {
      const where = EDITORS.find(({ id }) => id === editor)?.title
      const isFollowed = following.page === person.page
      const title = isFollowed ? `Stop following ${person.name}` : `Follow ${person.name}${where === undefined ? '' : `, in ${where}`}`
      const follow = (): void => isFollowed ? following.stop() : following.start(person.page)
      const avatar = h('button', { type: 'button', class: 'avatar', 'data-page': person.page, title, 'aria-label': title, 'aria-pressed': String(isFollowed), onclick: follow }, ...face(person.name, person.name))
      avatar.style.setProperty('--person', person.color)
      return h('li', {}, avatar)
    }))
    list.querySelector<HTMLElement>(`[data-page="${CSS.escape(focused ?? '')}"]`)?.focus()
  }
  place.peopleChanged.listen(render)
  following.changed.listen(render)
  render()
  return list
}

/** First letter in a circle, and the name. */
function face(name: string, label: string): HTMLElement[] {
  return [h('span', { class: 'face', 'aria-hidden': 'true' }, [...name][0] ?? '?'), h('span', { class: 'name' }, label)]
}
