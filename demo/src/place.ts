/** The room that this page is in: its documents as they are opened, and who else is here. */

import { SharedDocument, type Shown } from './document'
import { EDITORS, type EditorId } from './editors'
import { keep, person, type Person } from './person'
import { Signal } from './signal'

/** Outlives a reload, so that one can try that without a connection, too. */
const CUT = 'coscribe.cut'

/** Somebody else in the room. */
export interface Other {
  person: Person
  editor: EditorId | null
}

export class Place {
  readonly documents = new Map<EditorId, SharedDocument>()
  /** Nothing is written in it; its awareness says who is here, and in which editor. */
  readonly lobby: SharedDocument
  /** Somebody came, went, moved or changed their name. */
  readonly peopleChanged = new Signal()
  /** A document was opened, or something about one has changed. */
  readonly documentsChanged = new Signal()
  /** False once it is known that this browser keeps nothing. */
  keeps = true
  current: EditorId = 'codemirror'
  #cut = sessionStorage.getItem(CUT) !== null

  constructor(readonly room: string, public me: Person, private readonly token: string | null) {
    this.lobby = new SharedDocument(room, 'people', me, token)
    this.lobby.awareness.on('change', () => this.peopleChanged.emit())
    this.#begin(this.lobby)
    addEventListener('online', () => this.hurry())
    document.addEventListener('visibilitychange', () => { if (!document.hidden) this.hurry() })
  }

  get document(): SharedDocument | undefined { return this.documents.get(this.current) }

  /** Whether the person has cut the connection. */
  get isCut(): boolean { return this.#cut }

  /** Goes to an editor; its document is opened when that happens for the first time. */
  async enter(editor: EditorId): Promise<SharedDocument> {
    this.current = editor
    this.lobby.show('editor', editor)
    const opened = this.documents.get(editor)
    if (opened !== undefined) return opened
    const entered = new SharedDocument(this.room, editor, this.me, this.token)
    this.documents.set(editor, entered)
    entered.saved.changed.listen(() => this.documentsChanged.emit())
    entered.awareness.on('change', () => this.documentsChanged.emit())
    this.keeps = await entered.open(`coscribe/${this.room}/${editor}`)
    this.#begin(entered)
    return entered
  }

  rename(name: string, color: string): void {
    this.me = person(name, color, this.me.page)
    keep(this.me)
    for (const shared of this.#all()) {
      // y-codemirror.next only draws a caret anew if it was away; it comes back with the focus.
      shared.awareness.setLocalStateField('cursor', null)
      shared.introduce(this.me)
    }
    this.peopleChanged.emit()
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

  /** What the person of this page shows in the current document. */
  shownBy(page: string): Shown | undefined {
    return [...this.document?.others().values() ?? []].find(({ user }) => user.page === page)
  }

  cut(): void {
    this.#cut = true
    sessionStorage.setItem(CUT, '')
    for (const shared of this.#all()) shared.connection.cut()
  }

  /** Takes back `cut`, or tries again where a connection was refused. */
  connect(): void {
    this.#cut = false
    sessionStorage.removeItem(CUT)
    for (const shared of this.#all()) shared.connection.connect()
  }

  /** Tries at once what waits to be tried again. */
  hurry(): void {
    for (const shared of this.#all()) shared.connection.hurry()
  }

  #begin(shared: SharedDocument): void {
    const { connection } = shared
    connection.changed.listen(() => {
      // What works for one works for the others.
      if (connection.state.kind === 'connected') this.hurry()
      this.documentsChanged.emit()
    })
    if (this.#cut) connection.cut()
    else connection.connect()
  }

  #all(): SharedDocument[] { return [this.lobby, ...this.documents.values()] }
}
