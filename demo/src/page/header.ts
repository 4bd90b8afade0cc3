/** The header: the room and its link, the people in it, and the theme. */

import { h, icon, svg } from '../dom'
import type { Following } from '../follow'
import type { Room } from '../room'
import { linkTo } from '../room-name'
import { toggleTheme } from '../theme'
import { ICONS } from './icons'
import { people } from './people'

export function header(room: Room, following: Following): HTMLElement {
  document.title = `${room.name} · coscribe`
  return h('header', {},
    h('a', { class: 'brand', href: '/', title: 'A new room' }, mark(), h('strong', {}, 'coscribe')),
    h('div', { class: 'room' }, h('h1', { class: 'room-name', title: room.name }, room.name), copyButton(room)),
    people(room, following),
    h('a', { class: 'button second', href: linkTo(room.name), target: '_blank', rel: 'noopener', title: 'The same room in a second window' }, icon(ICONS.window), h('span', { class: 'wide' }, 'Second window')),
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
  return h('button', { type: 'button', class: 'quiet', title: 'Copy link to this room', 'aria-label': 'Copy link to this room', onclick: copy }, icon(ICONS.link), label)
}
