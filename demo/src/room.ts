/** The room of this page: its documents, each opened when it is first shown, and the other people. */

import type { Connect } from './connection/connection'
import { SharedDocument, type Shown } from './document'
import { EDITORS, type EditorId } from './editors'
import { distinct, remember, withLook, type Person } from './person'
import { Signal } from './signal'

/** Set while the connection is cut. It outlives a reload, so that people can try a reload without a connection, too. */
const CUT = 'coscribe.cut'

/** Another person in the room. */
export interface Other {
  person: Person
  editor: EditorId | null
}

export class Room {
  readonly documents = new Map<EditorId, SharedDocument>()
  /** A document that stays empty: its awareness says who is here, and in which editor. */
  readonly lobby: SharedDocument
  /** A person came, went, moved or changed their name. */
  readonly peopleChanged = new Signal()
  /** A document was opened, or something about one has changed. */
  readonly documentsChanged = new Signal()
  /** False once this browser is known to keep no documents. */
  keeps = true
  current: EditorId = 'codemirror'
  #cut = sessionStorage.getItem(CUT) !== null

  constructor(readonly name: string, public me: Person, private readonly connectTo: Connect) {
    this.lobby = new SharedDocument(connectTo, name, 'people', me)
    this.lobby.awareness.on('change', () => {
      this.#settle()
      this.peopleChanged.emit()
    })
    this.#begin(this.lobby)
    addEventListener('online', () => this.hurry())
    document.addEventListener('visibilitychange', () => { if (!document.hidden) this.hurry() })
  }

  get document(): SharedDocument | undefined { return this.documents.get(this.current) }

  /** How many changes would be lost with this window: the server has not confirmed them, and this browser keeps no documents. */
  get atRisk(): number {
    if (this.keeps) return 0
    return this.#all().reduce((sum, { connection }) => sum + connection.saved.waiting, 0)
  }

  /** Whether the person has cut the connection. */
  get isCut(): boolean { return this.#cut }

  /** Goes to an editor; its document is opened when that happens for the first time. */
  async enter(editor: EditorId): Promise<SharedDocument> {
    this.current = editor
    this.lobby.show('editor', editor)
    const opened = this.documents.get(editor)
    if (opened !== undefined) return opened
    const entered = new SharedDocument(this.connectTo, this.name, editor, this.me)
    this.documents.set(editor, entered)
    entered.connection.saved.changed.listen(() => this.documentsChanged.emit())
    entered.awareness.on('change', () => this.documentsChanged.emit())
    this.keeps = await entered.open(`coscribe/${this.name}/${editor}`)
    this.#begin(entered)
    return entered
  }

  rename(name: string, color: string): void {
    this.#introduce({ ...withLook(this.me, name, color), named: true })
    remember(this.me)
  }

  /** Each other person once, in the order of their names. */
  others(): Other[] {
    const others = new Map<string, Other>()
    for (const { user, editor } of this.lobby.others().values()) {
      others.set(user.page, { person: user, editor: EDITORS.find(({ id }) => id === editor)?.id ?? null })
    }
    others.delete(this.me.page)
    return [...others.values()].sort((a, b) => a.person.name.localeCompare(b.person.name))
  }

  /** The awareness state of a page in the current document. */
  shownBy(page: string): Shown | undefined {
    return [...this.document?.others().values() ?? []].find(({ user }) => user.page === page)
  }

  cut(): void {
    this.#cut = true
    sessionStorage.setItem(CUT, '')
    for (const shared of this.#all()) shared.connection.cut()
  }

  /** Undoes `cut`, and connects refused documents again. */
  connect(): void {
    this.#cut = false
    sessionStorage.removeItem(CUT)
    for (const shared of this.#all()) shared.connection.connect()
  }

  /** Ends the pauses before the next attempts. */
  hurry(): void {
    for (const shared of this.#all()) shared.connection.hurry()
  }

  /** Takes another colour or name where somebody has this one. */
  #settle(): void {
    const settled = distinct(this.me, this.others().map(({ person }) => person))
    if (settled !== this.me) this.#introduce(settled)
  }

  #introduce(me: Person): void {
    this.me = me
    for (const shared of this.#all()) {
      // y-codemirror.next only draws a caret anew if it was away; it comes back with the focus.
      shared.awareness.setLocalStateField('cursor', null)
      shared.introduce(me)
    }
    this.peopleChanged.emit()
  }

  #begin(shared: SharedDocument): void {
    const { connection } = shared
    connection.changed.listen(() => {
      // If one document can connect, the others can, too.
      if (connection.state.kind === 'connected') this.hurry()
      this.documentsChanged.emit()
    })
    if (this.#cut) connection.cut()
    else connection.connect()
  }

  #all(): SharedDocument[] { return [this.lobby, ...this.documents.values()] }
}
