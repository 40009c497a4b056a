/** Elements without HTML strings: text is always text, so nothing that a user typed runs. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Create an element: `h("a", { href, class: "link", onclick: open }, "Open ", name)`.
 *
 * Attributes that are false, null or undefined are omitted. Those that begin with `on` are event
 * listeners. Children are elements, strings, numbers or lists of them; false and null are omitted.
 */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Create an element of SVG, as `h` does for HTML. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Replace all children of an element. */
export function fill(element, ...children) {
  element.replaceChildren(...listed(children));
  return element;
}

let numIds = 0;

/** Return an id that no other element has, to connect a label with its input. */
export function newId(name) {
  numIds += 1;
  return `${name}-${numIds}`;
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.toggleAttribute(name, true);
    else element.setAttribute(name, value);
  }
  element.append(...listed(children));
  return element;
}

function listed(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false);
}
