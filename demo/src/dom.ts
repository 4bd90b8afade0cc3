/** Makes elements. Text from people only ever becomes text nodes and attributes here, never markup. */

type Value = string | boolean | null | ((event: never) => unknown)

/** An element; attributes that are functions are listeners (`onclick`), null and false leave an attribute out. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag, attributes: Record<string, Value> = {}, ...children: (Node | string | null)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) set(element, name, value)
  element.append(...children.filter(child => child !== null))
  return element
}

/** An element of an SVG image. */
export function svg<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag, attributes: Record<string, Value> = {}, ...children: Node[]
): SVGElementTagNameMap[Tag] {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [name, value] of Object.entries(attributes)) set(element, name, value)
  element.append(...children)
  return element
}

/**
 * Shows items in a parent, an element for each. Elements stay where they are while others come and go: a new one in the place
 * of one that looks the same would lose the focus, or a click in the middle of it.
 */
export function listIn<Item>(
  parent: Element, key: (item: Item) => string, make: (item: Item) => HTMLElement, update: (element: HTMLElement, item: Item) => void
): (items: Item[]) => void {
  const shown = new Map<string, HTMLElement>()
  return items => {
    const keys = new Set(items.map(key))
    for (const [key, element] of shown) {
      if (keys.has(key)) continue
      element.remove()
      shown.delete(key)
    }
    for (const [at, item] of items.entries()) {
      const element = shown.get(key(item)) ?? make(item)
      shown.set(key(item), element)
      update(element, item)
      if (parent.children[at] !== element) parent.insertBefore(element, parent.children[at] ?? null)
    }
  }
}

/** A drawing of 24 by 24 by its path. */
export function icon(path: string): SVGSVGElement {
  return svg('svg', { viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true' }, svg('path', { d: path }))
}

function set(element: Element, name: string, value: Value): void {
  if (typeof value === 'function') element.addEventListener(name.slice(2), value as EventListener)
  else if (value === true) element.setAttribute(name, '')
  else if (value !== false && value !== null) element.setAttribute(name, value)
}
