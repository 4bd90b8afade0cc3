/** Below the editor: the connection, what is saved, and who is typing. Above it, if there is something to say: the banner. */

import type { Connection } from '../connection/connection'
import { h, icon } from '../dom'
import type { Room } from '../room'
import { ICONS } from './icons'

type Mood = 'good' | 'busy' | 'bad' | 'calm'

interface Words {
  mood: Mood
  text: string
}

export function status(room: Room): { element: HTMLElement, banner: HTMLElement, render: () => void } {
  const connection = h('span', { class: 'pill', id: 'connection' })
  const saved = h('span', { class: 'saved', id: 'saved' })
  const typing = h('span', { class: 'typing' })
  // Read out when it changes; without the seconds, which change all the time.
  const live = h('p', { class: 'hidden', role: 'status' })
  const cut = h('button', { type: 'button', class: 'cut', onclick: () => room.isCut ? room.connect() : room.cut() })
  const banner = h('div', { class: 'banner', hidden: true })
  const element = h('footer', {}, connection, cut, typing, saved, live)
  const render = (): void => {
    const document = room.document
    if (document === undefined) return
    show(connection, connectionWords(document.connection))
    announce(live, connectionWords(document.connection, false).text)
    showSaved(saved, savedWords(document.connection, room))
    cut.textContent = room.isCut ? 'Reconnect' : 'Cut the connection'
    cut.title = room.isCut ? 'Connect to the server again' : 'Try it: go on typing without a connection'
    typing.textContent = typingWords(room)
    fillBanner(banner, room)
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

/** What is known of this person's changes; those of others may be on the way to the disk. */
function savedWords({ saved, state }: Connection, { keeps }: Room): Words {
  const changes = `${saved.waiting} change${saved.waiting === 1 ? '' : 's'} waiting`
  if (state.kind !== 'connected') {
    if (saved.waiting > 0) return { mood: 'bad', text: `${changes}, ${keeps ? 'kept in this browser' : 'only in this window'}` }
    if (saved.at !== null) return { mood: 'calm', text: `Your changes were saved on disk at ${time(saved.at)}` }
    return { mood: 'calm', text: keeps ? 'Your changes are kept in this browser' : '' }
  }
  if (saved.isUnknown) return { mood: 'bad', text: 'This server does not say what is saved' }
  if (saved.waiting > 0) return { mood: saved.late === null ? 'busy' : 'bad', text: saved.late === null ? changes : `${changes}: the server does not confirm` }
  if (saved.at === null) return { mood: 'busy', text: 'Asking what is saved…' }
  return { mood: 'good', text: `Your changes are saved on disk (${time(saved.at)})` }
}

function time(at: Date): string {
  return at.toLocaleTimeString('en-GB')
}

function typingWords(room: Room): string {
  const typing = [...room.document?.others().values() ?? []].filter(({ typing }) => typing === true).map(({ user }) => user.name)
  if (typing.length === 0) return ''
  const verb = room.current === 'whiteboard' ? 'drawing' : 'typing'
  if (typing.length > 2) return `${typing.length} people are ${verb}…`
  return `${typing.join(' and ')} ${typing.length === 1 ? 'is' : 'are'} ${verb}…`
}

function fillBanner(banner: HTMLElement, room: Room): void {
  const words = bannerWords(room)
  banner.hidden = words === null
  const [text, label] = words ?? ['', '']
  if (banner.dataset['text'] === text) return
  banner.dataset['text'] = text
  banner.replaceChildren(h('span', {}, text), h('button', { type: 'button', onclick: () => room.isCut ? room.connect() : retry(room) }, label))
}

function retry(room: Room): void {
  room.hurry()
  if (room.document?.connection.state.kind === 'refused') room.connect()
}

/** The text of the banner, and the label of its button. */
function bannerWords(room: Room): [string, string] | null {
  const { document, keeps } = room
  const state = document?.connection.state
  if (state === undefined || document === undefined) return null
  if (state.kind === 'refused') return [`${state.why} What you have typed is kept in this ${keeps ? 'browser' : 'window'}.`, 'Try again']
  const fate = keeps ? 'Your edits are kept in this browser and will be sent' : 'Your edits are kept in this window, as long as it is open, and will be sent'
  const unseen = document.isKnown ? '' : ' This document was never loaded in this browser: what is in it appears when the server is reached.'
  if (state.kind === 'cut') return [`You have cut the connection.${unseen} Go on typing: ${fate.charAt(0).toLowerCase()}${fate.slice(1)} when you reconnect.`, 'Reconnect']
  if (state.kind === 'waiting') return [`${state.why ?? 'There is no connection to the server.'}${unseen} ${fate} as soon as it is back.`, 'Try now']
  if (document.connection.saved.isUnknown) return ['This server passes edits on, but does not say when they are on disk: it is not coscribe, or too old.', 'Try again']
  return null
}
