// Elements, made of text alone: nothing that a page is given is ever read as HTML.

type Child = Node | string | null

/** An element with attributes and children; null for none. */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, string | null>>,
  ...children: readonly Child[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(attributes))
    if (value !== null) made.setAttribute(key, value)
  made.append(...children.filter((child) => child !== null))
  return made
}

/** A foreign text, which keeps its direction to itself. */
export function foreign(text: string, kind = ''): HTMLElement {
  return element('bdi', { class: kind === '' ? null : kind }, text)
}

/** `1 host`, `5,000 hosts`. */
export function count(number: number, what: string): string {
  return `${number.toLocaleString('en')} ${what}${number === 1 ? '' : 's'}`
}
