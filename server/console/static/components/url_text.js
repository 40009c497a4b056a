/** The address of this server in code to copy. */

/** Return the whole URL of a path. */
export function urlText(path) {
  return `${location.origin}${document.documentElement.dataset.root}${path}`;
}
