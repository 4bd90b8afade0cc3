/** What this page is, for those who see it for the first time; folded up once they have read it. */

import { h } from '../dom'

/** In the local storage, once it was read. */
const READ = 'coscribe.about'
const README = 'https://github.com/coscribe/coscribe#readme'

export function about(providers: HTMLElement): HTMLElement {
  const fold = (isRead: boolean): void => {
    panel.hidden = isRead
    short.hidden = opener.hidden = !isRead
  }
  const read = (): void => {
    localStorage.setItem(READ, 'read')
    fold(true)
    opener.focus()
  }
  const reopen = (): void => {
    fold(false)
    closer.focus()
  }
  const closer = h('button', { type: 'button', class: 'primary', onclick: read }, 'Got it')
  const opener = h('button', { type: 'button', class: 'quiet', onclick: reopen }, 'About', h('span', { class: 'wide' }, ' this page'))
  const short = h('p', {}, 'Type in two windows, cut the connection in one, and reconnect: ', h('strong', {}, 'nothing is lost'), '.')
  const panel = h('div', { class: 'about' },
    h('div', {},
      h('h2', {}, 'Five editors, one server of your own'),
      h('p', {}, 'coscribe is a server for collaborative editors: everybody with the link to this room sees the same text at once, and edits made without a connection are merged later. ',
        h('a', { href: README, target: '_blank', rel: 'noopener' }, 'Read about coscribe'))),
    h('ul', {},
      h('li', {}, h('strong', {}, 'Each tab is a document of its own'), ', in another editor.'),
      h('li', {}, h('strong', {}, 'Click a name'), ' to follow what that person sees; click ', h('strong', {}, 'You'), ' to change your name and colour.'),
      h('li', {}, h('strong', {}, 'Cut the connection'), ', go on typing, and reconnect: nothing is lost. “Saved” means on the server’s disk.')),
    closer)
  fold(localStorage.getItem(READ) !== null)
  return h('section', { class: 'intro', 'aria-label': 'About this page' }, panel, short, h('div', { class: 'beside' }, opener, providers))
}
