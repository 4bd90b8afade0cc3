/** The dialog in which people choose their name and colour. */

import { h } from '../dom'
import { cleanName, COLOURS } from '../person'
import type { Room } from '../room'

export function profile(room: Room): void {
  const name = h('input', { type: 'text', name: 'name', maxlength: '32', required: true, autocomplete: 'nickname', value: room.me.name })
  const colours = Object.entries(COLOURS).map(([called, colour]) => {
    const swatch = h('input', { type: 'radio', name: 'colour', value: colour, checked: colour === room.me.color, 'aria-label': called, title: called })
    swatch.style.setProperty('--person', colour)
    return swatch
  })
  const form = h('form', { method: 'dialog' },
    h('h2', {}, 'How others see you'),
    h('label', {}, 'Name', name),
    h('fieldset', {}, h('legend', {}, 'Colour'), ...colours),
    h('div', { class: 'row' }, h('button', { type: 'submit', class: 'primary' }, 'Done')))
  const dialog = h('dialog', { class: 'profile' }, form)
  form.addEventListener('submit', () => {
    const colour = colours.find(({ checked }) => checked)?.value ?? room.me.color
    room.rename(cleanName(name.value) || room.me.name, colour)
  })
  dialog.addEventListener('close', () => dialog.remove())
  document.body.append(dialog)
  dialog.showModal()
  name.select()
}
