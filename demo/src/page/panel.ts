/** Numbers about the current document, for the curious. */

import * as Y from 'yjs'
import { h, svg } from '../dom'
import type { SharedDocument } from '../document'
import type { Room } from '../room'
import type { Flow } from '../traffic'

/** The seconds that the curves show. */
const SPAN = 60

interface Second {
  received: Flow
  sent: Flow
}

/** The figures of one document so far. */
interface Notes {
  seconds: Second[]
  last: Second
  /** The bytes of the document as one update; measured again after a change. */
  size: number
  changed: boolean
}

export function panel(room: Room): HTMLDetailsElement {
  const notes = new Map<SharedDocument, Notes>()
  const received = curve('received')
  const sent = curve('sent')
  const value = (): HTMLElement => h('dd')
  const [messagesIn, messagesOut, bytesIn, bytesOut, roundTrip, size, clients, name] = [value(), value(), value(), value(), value(), value(), value(), value()]
  const row = (label: string, element: HTMLElement): HTMLElement => h('div', {}, h('dt', {}, label), element)
  const element = h('details', { class: 'panel' }, h('summary', {}, 'Under the hood'), h('dl', {},
    row('Document', name), row('Clients in it', clients), row('Size as one update', size), row('Round trip to disk', roundTrip),
    row('Messages in', messagesIn), received.element, row('Messages out', messagesOut), sent.element,
    row('Received', bytesIn), row('Sent', bytesOut)))
  element.open = matchMedia('(min-width: 75rem)').matches

  const note = (shared: SharedDocument): Notes => {
    const noted = notes.get(shared) ?? begin(shared)
    notes.set(shared, noted)
    const now = { received: { ...shared.traffic.received }, sent: { ...shared.traffic.sent } }
    noted.seconds.push({ received: difference(now.received, noted.last.received), sent: difference(now.sent, noted.last.sent) })
    noted.seconds.splice(0, noted.seconds.length - SPAN)
    noted.last = now
    return noted
  }

  const show = (): void => {
    const shared = room.document
    if (!element.open || shared === undefined || document.hidden) return
    const noted = notes.get(shared)
    if (noted === undefined) return
    shared.saved.probe()
    measure(shared, noted)
    const second = noted.seconds.at(-1)
    name.textContent = name.title = `${room.name}/${room.current}`
    clients.textContent = String(shared.awareness.getStates().size)
    size.textContent = bytes(noted.size)
    roundTrip.textContent = shared.saved.roundTrip === null ? '–' : `${shared.saved.roundTrip.toFixed(1)} ms`
    messagesIn.textContent = `${second?.received.messages ?? 0} /s`
    messagesOut.textContent = `${second?.sent.messages ?? 0} /s`
    bytesIn.textContent = bytes(noted.last.received.bytes)
    bytesOut.textContent = bytes(noted.last.sent.bytes)
    received.show(noted.seconds.map(({ received }) => received.messages))
    sent.show(noted.seconds.map(({ sent }) => sent.messages))
  }
  element.addEventListener('toggle', show)
  setInterval(() => {
    for (const shared of room.documents.values()) note(shared)
    show()
  }, 1000)
  return element
}

function begin(shared: SharedDocument): Notes {
  const nothing = { messages: 0, bytes: 0 }
  const seconds = Array.from({ length: SPAN }, () => ({ received: nothing, sent: nothing }))
  const noted = { seconds, last: { received: nothing, sent: nothing }, size: 0, changed: true }
  shared.doc.on('update', () => { noted.changed = true })
  return noted
}

function measure(shared: SharedDocument, noted: Notes): void {
  if (!noted.changed) return
  noted.changed = false
  noted.size = Y.encodeStateAsUpdate(shared.doc).length
}

function difference(now: Flow, before: Flow): Flow {
  return { messages: now.messages - before.messages, bytes: now.bytes - before.bytes }
}

function bytes(count: number): string {
  if (count < 1000) return `${count} B`
  return count < 1e6 ? `${(count / 1e3).toFixed(1)} kB` : `${(count / 1e6).toFixed(2)} MB`
}

/** A small curve of the last minute. */
function curve(kind: string): { element: SVGElement, show: (values: number[]) => void } {
  const line = svg('polyline', { 'vector-effect': 'non-scaling-stroke' })
  const element = svg('svg', { class: `curve ${kind}`, viewBox: `0 0 ${SPAN - 1} 20`, preserveAspectRatio: 'none', 'aria-hidden': 'true' }, line)
  const show = (values: number[]): void => {
    const most = Math.max(5, ...values)
    line.setAttribute('points', values.map((value, at) => `${SPAN - values.length + at},${19 - value / most * 18}`).join(' '))
  }
  return { element, show }
}
