import { h } from './dom'
import { EDITORS, type EditorId } from './editors'
import { heldWhileComposing } from './editors/composing'
import { Following } from './follow'
import { keepPage } from './offline'
import { about } from './page/about'
import { choice } from './page/choice'
import { explain } from './page/explain'
import { followed } from './page/followed'
import { header } from './page/header'
import { panel } from './page/panel'
import { status } from './page/status'
import { tabs } from './page/tabs'
import { unloaded } from './page/unloaded'
import { keepForReload, personOfWindow } from './person'
import { pageWith, providerOfPage, PROVIDERS, type Provider } from './providers'
import { Room } from './room'
import { objection, roomOfPage } from './room-name'
import { applyTheme } from './theme'
import './style.css'

type Shown = { element: HTMLElement, left?: () => void }

/** The interval at which tabs and status are rendered again, since they depend on the time, in milliseconds. */
const TICK = 500

applyTheme()
const name = roomOfPage()
const wrong = objection(name)
if (wrong === null) void begin(name)
else explain(wrong)

async function begin(name: string): Promise<void> {
  const provider = providerOfPage()
  const connector = await provider.load().catch((error: unknown) => {
    const [usual] = PROVIDERS
    explain(`The provider ${provider.title} could not be loaded (${String(error)}).`, { href: pageWith(usual), label: `Use ${usual.title}` })
    return null
  })
  if (connector === null) return
  open(new Room(name, personOfWindow(), connector(new URLSearchParams(location.search).get('token'))), provider)
}

function open(room: Room, provider: Provider): void {
  const shown = new Map<EditorId, Promise<Shown>>()
  const stage = h('div', { class: 'stage' })
  const following = new Following(room, go)
  const bar = tabs(room, go)
  const state = status(room)
  const providers = choice(room, provider)
  const render = (): void => {
    bar.render()
    state.render()
    providers.render()
  }

  /** Shows an editor; it and its document are loaded when that happens for the first time. */
  async function go(editor: EditorId): Promise<void> {
    const before = room.current
    if (editor !== before) void shown.get(before)?.then(({ left }) => left?.())
    const entered = room.enter(editor)
    if (location.hash !== `#${editor}`) history.replaceState(null, '', `#${editor}`)
    if (!shown.has(editor)) shown.set(editor, mount(editor))
    for (const { id } of EDITORS) stage.querySelector<HTMLElement>(`#panel-${id}`)?.toggleAttribute('hidden', id !== editor)
    render()
    await entered
  }

  async function mount(id: EditorId): Promise<Shown> {
    const element = h('div', { role: 'tabpanel', id: `panel-${id}`, class: `editor ${id}`, 'aria-labelledby': `tab-${id}` })
    element.append(h('p', { class: 'loading' }, 'Loading…'))
    stage.append(element)
    const editor = EDITORS.find(editor => editor.id === id) ?? EDITORS[0]
    try {
      const [{ mount }, shared] = await Promise.all([editor.load(), room.enter(id)])
      element.replaceChildren()
      const { viewport, left } = mount(element, heldWhileComposing(element, shared))
      if (viewport !== undefined) following.attach(shared, viewport)
      element.dataset['ready'] = ''
      void keepPage()
      return left === undefined ? { element } : { element, left }
    } catch (error) {
      element.replaceChildren(unloaded(editor, room, error))
      return { element }
    }
  }

  stage.append(followed(room, following, stage))
  keepForReload(() => room.me)
  room.documentsChanged.listen(render)
  const card = h('section', { class: 'card', 'aria-label': 'Editors' }, bar.element, state.banner, stage, state.element)
  document.body.append(header(room, following), h('main', {}, about(providers.element), h('div', { class: 'work' }, card, panel(room))))
  setInterval(render, TICK)
  addEventListener('hashchange', () => { void go(editorOfPage()) })
  void go(editorOfPage())
}

function editorOfPage(): EditorId {
  return EDITORS.find(({ id }) => location.hash === `#${id}`)?.id ?? 'codemirror'
}
