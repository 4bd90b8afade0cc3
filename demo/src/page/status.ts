/** Below the editor: the connection, what is saved, and who is typing. Above it, if there is something to say: the banner. */

import type { Connection } from '../connection'
import { h, icon } from '../dom'
import type { Place } from '../place'
import type { Saved } from '../saved'
import { ICONS } from './icons'

type Mood = 'good' | 'busy' | 'bad'

interface Words {
  mood: Mood
  text: string
}

export function status(place: Place): { element: HTMLElement, banner: HTMLElement, render: () => void } {
  const connection = h('span', { class: 'pill', id: 'connection' })
  const saved = h('span', { class: 'saved', id: 'saved' })
  const typing = h('span', { class: 'typing' })
  // Read out when it changes; without the seconds, which change all the time.
  const live = h('p', { class: 'hidden', role: 'status' })
  const cut = h('button', { type: 'button', class: 'cut', onclick: () => place.isCut ? place.connect() : place.cut() })
  const banner = h('div', { class: 'banner', hidden: true })
  const element = h('footer', {}, connection, cut, typing, saved, live)
  const render = (): void => {
    const document = place.document
    if (document === undefined) return
    show(connection, connectionWords(document.connection))
    announce(live, connectionWords(document.connection, false).text)
    showSaved(saved, savedWords(document.saved, document.connection, place))
    cut.textContent = place.isCut ? 'Connect again' : 'Cut the connection'
    cut.title = place.isCut ? 'Takes up the connection' : 'Try it: go on typing without a connection'
    typing.textContent = typingWords(place)
    fillBanner(banner, place)
  }
  return { element, banner, render }
}

function show(element: HTMLElement, { mood, text }: Words): void {
  element.dataset['mood'] = mood
  if (element.textContent !== text) element.textContent = text
}

function showSaved(element: HTMLElement, words: Words): void {
  if (element.textContent === words.text) return
  show(element, words)
  if (words.mood === 'good') element.prepend(icon(ICONS.saved))
}

function announce(live: HTMLElement, text: string): void {
  if (live.textContent !== text) live.textContent = text
}

function connectionWords({ state }: Connection, withSeconds = true): Words {
  switch (state.kind) {
    case 'connected': return { mood: 'good', text: 'Connected' }
    case 'connecting': return { mood: 'busy', text: 'Connecting…' }
    case 'cut': return { mood: 'bad', text: 'Offline' }
    case 'refused': return { mood: 'bad', text: 'Refused' }
    case 'waiting': {
      if (!navigator.onLine) return { mood: 'bad', text: 'Offline' }
      const seconds = Math.max(1, Math.ceil((state.until - Date.now()) / 1000))
      return { mood: 'busy', text: withSeconds ? `Reconnecting in ${seconds} s` : 'Reconnecting' }
    }
  }
}

function savedWords(saved: Saved, { state }: Connection, { keeps }: Place): Words {
  const changes = `${saved.waiting} change${saved.waiting === 1 ? '' : 's'} waiting`
  if (state.kind !== 'connected') {
    const place = keeps ? 'kept in this browser' : 'only in this window'
    if (saved.waiting > 0) return { mood: 'bad', text: `${changes}, ${place}` }
    return saved.at === null ? { mood: 'busy', text: keeps ? 'Kept in this browser, not compared with the server yet' : '' } : savedAt(saved.at)
  }
  if (saved.isUnknown) return { mood: 'bad', text: 'This server does not say what is saved' }
  if (saved.waiting > 0) return { mood: saved.late === null ? 'busy' : 'bad', text: saved.late === null ? changes : `${changes}: the server does not confirm` }
  return saved.at === null ? { mood: 'busy', text: 'Asking what is saved…' } : savedAt(saved.at)
}

function savedAt(at: Date): Words {
  return { mood: 'good', text: `Saved on disk at ${at.toLocaleTimeString('en-GB')}` }
}

function typingWords(place: Place): string {
  const typing = [...place.document?.others().values() ?? []].filter(({ typing }) => typing === true).map(({ user }) => user.name)
  if (typing.length === 0) return ''
  const verb = place.current === 'whiteboard' ? 'drawing' : 'typing'
  if (typing.length > 2) return `${typing.length} people are ${verb}…`
  return `${typing.join(' and ')} ${typing.length === 1 ? 'is' : 'are'} ${verb}…`
}

function fillBanner(banner: HTMLElement, place: Place): void {
  const words = bannerWords(place)
  banner.hidden = words === null
  const [text, label] = words ?? ['', '']
  if (banner.dataset['text'] === text) return
  banner.dataset['text'] = text
  banner.replaceChildren(h('span', {}, text), h('button', { type: 'button', onclick: () => place.isCut ? place.connect() : retry(place) }, label))
}

function retry(place: Place): void {
  place.hurry()
  if (place.document?.connection.state.kind === 'refused') place.connect()
}

/** What the banner says, and what is on its button. */
function bannerWords(place: Place): [string, string] | null {
  const state = place.document?.connection.state
  const fate = place.keeps ? 'Edits are kept in this browser and will be sent' : 'Edits are kept in this window, as long as it is open, and will be sent'
  if (state?.kind === 'cut') return [`You have cut the connection. Go on typing: ${fate.charAt(0).toLowerCase()}${fate.slice(1)} when you connect again.`, 'Connect again']
  if (state?.kind === 'refused') return [`${state.why} What you have typed is kept in this ${place.keeps ? 'browser' : 'window'}.`, 'Try again']
  if (state?.kind === 'waiting') return [`${state.why ?? 'There is no connection to the server.'} ${fate} as soon as it is back.`, 'Try now']
  if (place.document?.saved.isUnknown) return ['This server passes edits on, but does not say when they are on disk: it is not coscribe, or too old.', 'Try again']
  return null
}
