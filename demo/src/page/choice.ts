/** The providers to choose from. Each is a link to this page with it: a second window is a click with the middle button away. */

import { h } from '../dom'
import { pageWith, PROVIDERS, type Provider } from '../providers'
import type { Room } from '../room'

export function choice(room: Room, current: Provider): { element: HTMLElement, render: () => void } {
  const links = PROVIDERS.map(provider => {
    const isCurrent = provider === current
    const link = h('a', {
      'aria-current': isCurrent ? 'true' : null,
      title: isCurrent ? 'This window connects with it' : 'Loads this window again, and connects with it',
      onclick: (event: Event) => { if (isCurrent || !mayLeave(room)) event.preventDefault() },
    }, provider.title)
    return { provider, link }
  })
  const element = h('nav', { class: 'choice', 'aria-label': 'Provider of this window' }, h('span', { class: 'wide' }, 'Provider'), h('ul', {}, ...links.map(({ link }) => h('li', {}, link))))
  const render = (): void => {
    for (const { provider, link } of links) if (link.href !== pageWith(provider)) link.href = pageWith(provider)
  }
  render()
  return { element, render }
}

/** Where this browser keeps no documents, changes that are not saved go with the page. */
function mayLeave(room: Room): boolean {
  const { atRisk } = room
  return atRisk === 0 || confirm(`${atRisk} change${atRisk === 1 ? ' is' : 's are'} only in this window, and would be lost. Change the provider all the same?`)
}
