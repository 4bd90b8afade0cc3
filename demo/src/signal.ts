/** Tells listeners that something has changed; they look for themselves what. */
export class Signal {
  #listeners = new Set<() => void>()

  listen(listener: () => void): void {
    this.#listeners.add(listener)
  }

  emit(): void {
    for (const listener of this.#listeners) listener()
  }
}
