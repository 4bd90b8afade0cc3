/** The room of this page: its documents, each opened when it is first shown, and the other people. */

import { SharedDocument, type Shown } from './document'
import { EDITORS, type EditorId } from './editors'
import { keep, person, type Person } from './person'
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

  constructor(readonly name: string, public me: Person, private readonly token: string | null) {
    this.lobby = new SharedDocument(name, 'people', me, token)
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
    const entered = new SharedDocument(this.name, editor, this.me, this.token)
    this.documents.set(editor, entered)
    entered.saved.changed.listen(() => this.documentsChanged.emit())
    entered.awareness.on('change', () => this.documentsChanged.emit())
    this.keeps = await entered.open(`coscribe/${this.name}/${editor}`)
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
