/** The page that explains why a room cannot be opened. */

import { h } from '../dom'

export function explain(objection: string): void {
  document.body.append(h('main', { class: 'explain' },
    h('h1', {}, 'This room cannot be opened'),
    h('p', {}, objection),
    h('a', { class: 'button primary', href: '/' }, 'Open a new room')))
}
