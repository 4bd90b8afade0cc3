/** The people in the room: in the header as many as there is space for, and all of them in a list that opens. */

import { h, listIn } from '../dom'
import { EDITORS } from '../editors'
import type { Following } from '../follow'
import { initial } from '../names'
import type { Other, Room } from '../room'
import { profile } from './profile'

/** How a person is shown: the text beside the initial, what a click does, and whether they are followed. */
interface Shown {
  text: string
  does: string
  isFollowed: boolean | null
}

export function people(room: Room, following: Following): HTMLElement {
  const row = h('ul', { 'aria-label': 'People in this room' })
  const all = h('ul', { 'aria-label': 'All people in this room' })
  const title = h('h2')
  const more = h('button', { type: 'button', class: 'more', popovertarget: 'everybody' })
  const everybody = h('div', { id: 'everybody', popover: 'auto' }, title, all)
  const whole = h('div', { class: 'whole' }, row, more)
  const element = h('div', { class: 'people' }, whole, everybody)

  const toggle = (page: string): void => following.page === page ? following.stop() : following.start(page)
  const click = (page: string): void => {
    everybody.hidePopover()
    if (page === room.me.page) profile(room)
    else toggle(page)
  }
  const list = (parent: Element, kind: string, shown: (other: Other) => Shown): (people: Other[]) => void => {
    const make = ({ person: { page } }: Other): HTMLElement => h('li', {},
      h('button', { type: 'button', class: kind, onclick: () => click(page) }, h('span', { class: 'face' }), h('span', { class: 'name' })))
    return listIn<Other>(parent, ({ person }) => person.page, make, (item, other) => show(item, other, shown(other)))
  }
  const isMe = ({ person }: Other): boolean => person.page === room.me.page
  const showRow = list(row, 'avatar', other => isMe(other) ? describeMe(other, 'You') : describe(other, other.person.name, following))
  const showAll = list(all, 'entry', other => isMe(other) ? describeMe(other, `${other.person.name} (you)`) : describe(other, withPlace(other), following))

  const render = (): void => {
    const here = [{ person: room.me, editor: room.current }, ...room.others()]
    showRow(here)
    showAll(here)
    title.textContent = here.length === 1 ? 'Only you are here' : `${here.length} people are here`
    fit(element, whole, row, more)
  }
  new ResizeObserver(() => fit(element, whole, row, more)).observe(element)
  room.peopleChanged.listen(render)
  following.changed.listen(render)
  render()
  return element
}

function describeMe({ person: { name } }: Other, text: string): Shown {
  return { text, does: `You, ${name}: change name and colour`, isFollowed: null }
}

function describe(other: Other, text: string, following: Following): Shown {
  const isFollowed = following.page === other.person.page
  return { text, does: isFollowed ? `Stop following ${other.person.name}` : `Follow ${withPlace(other)}`, isFollowed }
}

function withPlace({ person: { name }, editor }: Other): string {
  const place = EDITORS.find(({ id }) => id === editor)?.title
  return place === undefined ? name : `${name}, in ${place}`
}

function show(item: HTMLElement, { person: { name, color } }: Other, { text, does, isFollowed }: Shown): void {
  const [button, face, label] = item.querySelectorAll<HTMLElement>('button, .face, .name')
  if (button === undefined || face === undefined || label === undefined) return
  button.title = does
  button.setAttribute('aria-label', does)
  button.style.setProperty('--person', color)
  if (isFollowed !== null) button.setAttribute('aria-pressed', String(isFollowed))
  // Drawn by the style sheet: it is no part of what the button is called.
  face.dataset['initial'] = initial(name)
  if (label.textContent !== text) label.textContent = text
}

/** Shows names and faces if there is space, or else faces, or else some faces and the number of the others. */
function fit(element: HTMLElement, whole: HTMLElement, row: HTMLElement, more: HTMLElement): void {
  const items = [...row.children] as HTMLElement[]
  const isTooWide = (): boolean => whole.offsetWidth > element.clientWidth
  const cut = (count: number): void => {
    for (const [at, item] of items.entries()) item.hidden = at >= count
    more.hidden = count === items.length
    more.textContent = `+${items.length - count}`
    more.setAttribute('aria-label', `+${items.length - count} people: show all ${items.length}`)
  }
  cut(items.length)
  element.classList.remove('faces')
  if (!isTooWide()) return
  element.classList.add('faces')
  if (!isTooWide()) return
  const step = whole.offsetWidth / items.length
  cut(1)
  const left = element.clientWidth - whole.offsetWidth
  cut(Math.min(items.length - 1, 1 + Math.max(0, Math.floor(left / step))))
}
