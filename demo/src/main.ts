import { h } from './dom'
import { EDITORS, type EditorId } from './editors'
import { Following } from './follow'
import { keepPage } from './offline'
import { explain } from './page/explain'
import { header } from './page/header'
import { panel } from './page/panel'
import { status } from './page/status'
import { tabs } from './page/tabs'
import { personOfPage } from './person'
import { Place } from './place'
import { objection, roomOfPage } from './room'
import { applyTheme } from './theme'
import './style.css'

type Shown = { element: HTMLElement, left?: () => void }

/** How often what depends on the time is shown anew, in milliseconds. */
const TICK = 500

applyTheme()
const room = roomOfPage()
const wrong = objection(room)
if (wrong === null) open(room)
else explain(wrong)

function open(room: string): void {
  const place = new Place(room, personOfPage(), new URLSearchParams(location.search).get('token'))
  const shown = new Map<EditorId, Promise<Shown>>()
  const stage = h('div', { class: 'stage' })
  const following = new Following(place, go)
  const bar = tabs(place, go)
  const state = status(place)
  const render = (): void => {
    bar.render()
    state.render()
  }

  /** Shows an editor; it and its document are loaded when that happens for the first time. */
  async function go(editor: EditorId): Promise<void> {
    const before = place.current
    if (editor !== before) void shown.get(before)?.then(({ left }) => left?.())
    const entered = place.enter(editor)
    if (location.hash !== `#${editor}`) history.replaceState(null, '', `#${editor}`)
    if (!shown.has(editor)) shown.set(editor, mount(editor))
    for (const { id } of EDITORS) stage.querySelector<HTMLElement>(`#panel-${id}`)?.toggleAttribute('hidden', id !== editor)
    render()
    await entered
  }

  async function mount(editor: EditorId): Promise<Shown> {
    const element = h('div', { role: 'tabpanel', id: `panel-${editor}`, class: `editor ${editor}`, 'aria-labelledby': `tab-${editor}` })
    element.append(h('p', { class: 'loading' }, 'Loading…'))
    stage.append(element)
    const { load } = EDITORS.find(({ id }) => id === editor) ?? EDITORS[0]
    try {
      const [{ mount }, shared] = await Promise.all([load(), place.enter(editor)])
      element.replaceChildren()
      const { viewport, left } = mount(element, shared)
      if (viewport !== undefined) following.attach(shared, viewport)
      element.dataset['ready'] = ''
      void keepPage()
      return left === undefined ? { element } : { element, left }
    } catch (error) {
      shown.delete(editor)
      element.replaceChildren(h('p', { class: 'loading' }, `This editor could not be loaded (${String(error)}). `, h('button', { type: 'button', onclick: () => location.reload() }, 'Reload the page')))
      return { element }
    }
  }

  following.changed.listen(() => showFollowing(stage, place, following))
  place.documentsChanged.listen(render)
  document.body.append(header(place, following), intro(), h('main', {}, h('section', { class: 'card' }, bar.element, state.banner, stage, state.element), panel(place)))
  setInterval(render, TICK)
  addEventListener('hashchange', () => { void go(editorOfPage()) })
  void go(editorOfPage())
}

function editorOfPage(): EditorId {
  return EDITORS.find(({ id }) => location.hash === `#${id}`)?.id ?? 'codemirror'
}

function intro(): HTMLElement {
  return h('p', { class: 'intro' },
    'Type in two windows. Cut the connection in one, go on typing, and connect again: ', h('strong', {}, 'nothing is lost'),
    '. “Saved” means: on the server’s disk.')
}

function showFollowing(stage: HTMLElement, place: Place, following: Following): void {
  const followed = place.others().find(({ person }) => person.page === following.page)?.person
  stage.classList.toggle('following', followed !== undefined)
  stage.style.setProperty('--person', followed?.color ?? '')
  stage.dataset['following'] = followed === undefined ? '' : `Following ${followed.name} · Esc stops it`
}
