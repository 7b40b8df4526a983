// The page's elements, made without a line of HTML.

/** An element with these properties and children. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: { [P in keyof HTMLElementTagNameMap[K]]?: unknown },
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
}

/** Sets a text that differs. */
export function set(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}
