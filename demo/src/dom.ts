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

/** A drawing of 24 by 24 by its path. */
export function icon(path: string): SVGSVGElement {
  return svg('svg', { viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true' }, svg('path', { d: path }))
}

function set(element: Element, name: string, value: Value): void {
  if (typeof value === 'function') element.addEventListener(name.slice(2), value as EventListener)
  else if (value === true) element.setAttribute(name, '')
  else if (value !== false && value !== null) element.setAttribute(name, value)
}
