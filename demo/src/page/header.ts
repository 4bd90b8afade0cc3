/** The header: the room and its link, the people in it, and the theme. */

import { h, icon, listIn, svg } from '../dom'
import { EDITORS } from '../editors'
import type { Following } from '../follow'
import type { Other, Room } from '../room'
import { linkTo } from '../room-name'
import { toggleTheme } from '../theme'
import { ICONS } from './icons'
import { profile } from './profile'

export function header(room: Room, following: Following): HTMLElement {
  document.title = `${room.name} · coscribe`
  return h('header', {},
    h('a', { class: 'brand', href: '/', title: 'A new room' }, mark(), h('strong', {}, 'coscribe')),
    h('div', { class: 'room' }, h('span', { class: 'room-name', title: room.name }, room.name), copyButton(room)),
    people(room, following),
    h('a', { class: 'button', href: linkTo(room.name), target: '_blank', rel: 'noopener', title: 'The same room in a second window' }, icon(ICONS.window), h('span', { class: 'wide' }, 'Second window')),
    h('button', { type: 'button', class: 'quiet', title: 'Light or dark', 'aria-label': 'Light or dark', onclick: toggleTheme }, icon(ICONS.theme)))
}

function mark(): SVGElement {
  return svg('svg', { viewBox: '0 0 32 32', class: 'mark', 'aria-hidden': 'true' },
    svg('path', { class: 'first', d: 'M4 4l8 20 3-8 8-3z' }), svg('path', { class: 'second', d: 'M15 13l6 15 2.2-5.800 5.800-2.200z' }))
}

function copyButton(room: Room): HTMLElement {
  const label = h('span', { class: 'wide' }, 'Copy link')
  const copy = async (): Promise<void> => {
    const link = linkTo(room.name, room.current)
    // Only where the page was loaded safely; elsewhere the person copies it from a dialog.
    if (navigator.clipboard === undefined) prompt('The link to this room:', link)
    else await navigator.clipboard.writeText(link).then(() => { label.textContent = 'Copied' }, () => prompt('The link to this room:', link))
    setTimeout(() => { label.textContent = 'Copy link' }, 2000)
  }
  return h('button', { type: 'button', class: 'quiet', title: 'Copy the link to this room', 'aria-label': 'Copy the link to this room', onclick: copy }, icon(ICONS.link), label)
}

function people(room: Room, following: Following): HTMLElement {
  const list = h('ul', { class: 'people', 'aria-label': 'People in this room' })
  const toggle = (page: string): void => following.page === page ? following.stop() : following.start(page)
  const click = (page: string): void => page === room.me.page ? profile(room) : toggle(page)
  const make = ({ person: { page } }: Other): HTMLElement => h('li', {},
    h('button', { type: 'button', class: 'avatar', onclick: () => click(page) },
      h('span', { class: 'face', 'aria-hidden': 'true' }), h('span', { class: 'name' })))
  const show = listIn<Other>(list, ({ person }) => person.page, make, (item, other) => {
    if (other.person.page === room.me.page) showAvatar(item, other, 'You', 'Change name and colour', `${other.person.name} (you): change name and colour`)
    else showOther(item, other, following)
  })
  const render = (): void => show([{ person: room.me, editor: room.current }, ...room.others()])
  room.peopleChanged.listen(render)
  following.changed.listen(render)
  render()
  return list
}

function showOther(item: HTMLElement, other: Other, following: Following): void {
  const { person: { name, page }, editor } = other
  const where = EDITORS.find(({ id }) => id === editor)?.title
  const isFollowed = following.page === page
  const title = isFollowed ? `Stop following ${name}` : `Follow ${name}${where === undefined ? '' : `, in ${where}`}`
  showAvatar(item, other, name, title, title)
  item.firstElementChild?.setAttribute('aria-pressed', String(isFollowed))
}

/** First letter in a circle, and the name. */
function showAvatar(item: HTMLElement, { person: { name, color } }: Other, label: string, title: string, described: string): void {
  const [avatar, face, shown] = item.querySelectorAll<HTMLElement>('.avatar, .face, .name')
  if (avatar === undefined || face === undefined || shown === undefined) return
  avatar.title = title
  avatar.setAttribute('aria-label', described)
  avatar.style.setProperty('--person', color)
  if (face.textContent !== firstLetter(name)) face.textContent = firstLetter(name)
  if (shown.textContent !== label) shown.textContent = label
}

function firstLetter(name: string): string { return [...name][0] ?? '?' }
