/** The dialog in which people choose their name and colour. */

import { h } from '../dom'
import { cleanName } from '../names'
import { COLOURS } from '../person'
import type { Room } from '../room'

export function profile(room: Room): void {
  const name = h('input', { type: 'text', name: 'name', required: true, autocomplete: 'nickname', value: room.me.name })
  const others = room.others()
  const colours = Object.entries(COLOURS).map(([called, colour]) => {
    const owner = colour === room.me.color ? undefined : others.find(({ person }) => person.color === colour)?.person
    const label = owner === undefined ? called : `${called}: ${owner.name} has it`
    const swatch = h('input', { type: 'radio', name: 'colour', value: colour, checked: colour === room.me.color, disabled: owner !== undefined, 'aria-label': label, title: label })
    swatch.style.setProperty('--person', colour)
    return swatch
  })
  const form = h('form', { method: 'dialog' },
    h('h2', { id: 'profile-title' }, 'How others see you'),
    h('label', {}, 'Name', name),
    h('fieldset', {}, h('legend', {}, 'Colour'), ...colours),
    h('div', { class: 'row' }, h('button', { type: 'submit', class: 'primary' }, 'Done')))
  const dialog = h('dialog', { class: 'profile', 'aria-labelledby': 'profile-title' }, form)
  form.addEventListener('submit', () => {
    const colour = colours.find(({ checked }) => checked)?.value ?? room.me.color
    room.rename(cleanName(name.value) || room.me.name, colour)
  })
  dialog.addEventListener('close', () => dialog.remove())
  document.body.append(dialog)
  dialog.showModal()
  name.select()
}
