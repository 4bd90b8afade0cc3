/** What stands in the place of an editor whose files could not be loaded, and when another attempt makes sense. */

import { h } from '../dom'
import type { EDITORS } from '../editors'
import type { Room } from '../room'

export function unloaded({ title }: typeof EDITORS[number], room: Room, error: unknown): HTMLElement {
  const { connection } = room.lobby
  const isReached = (): boolean => connection.state.kind === 'connected'
  const why = isReached() ? `Its files could not be loaded (${String(error)}).` : 'The server is reached again.'
  const words = h('p')
  // Files that have failed to load are not asked for again until the page is loaded anew.
  const load = h('button', { type: 'button', class: 'primary', onclick: () => location.reload() }, 'Load the page again')
  const render = (): void => {
    words.textContent = isReached() ? why : 'It was not loaded in this browser yet, and there is no connection to load it now. It opens when the server is reached again. Meanwhile, the editors that you have opened before go on working.'
    load.hidden = !isReached()
  }
  connection.changed.listen(render)
  render()
  return h('div', { class: 'unloaded', role: 'status' }, h('h2', {}, `${title} is not here yet`), words, load)
}
