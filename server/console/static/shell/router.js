/** From the path of the URL to a route, and from links to screens without loading the page again. */

const BASE = `${document.documentElement.dataset.root}/console`;

/** Return the path of a link to a screen: `linkTo("tasks", "acme", "spam")`. */
export function linkTo(...parts) {
  const path = parts
    .filter((part) => part !== "")
    .map(encodeURIComponent)
    .join("/");
  return path === "" ? BASE : `${BASE}/${path}`;
}

/** Return the path of the form for signing in, which leads back to the current screen. */
export function signInPath() {
  const next = location.pathname + location.search;
  const form = linkTo("sign-in");
  return location.pathname === form ? next : `${form}?${new URLSearchParams({ next })}`;
}

/** Find the route of a path. Returns `{route, params}`, or null. */
export function match(routes, pathname) {
  const parts = partsOf(pathname);
  for (const route of routes) {
    const params = paramsOf(route.path === "" ? [] : route.path.split("/"), parts);
    if (params !== null) return { route, params };
  }
  return null;
}

/** Go to a path of the console, as a link does. */
export function navigate(path, { isReplacing = false } = {}) {
  history[isReplacing ? "replaceState" : "pushState"](null, "", path);
  dispatchEvent(new PopStateEvent("popstate"));
}

/** Set parameters of the URL's query without a new entry in the history. Lists repeat them. */
export function setQuery(values) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) {
    query.delete(name);
    for (const one of [value].flat()) if (one) query.append(name, one);
  }
  const text = query.toString();
  history.replaceState(null, "", location.pathname + (text ? `?${text}` : ""));
}

/** Call a function now and whenever the URL changes. Links within the console load no new page. */
export function onNavigation(show) {
  addEventListener("popstate", show);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    const isPlain =
      event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    if (!link || !isPlain || link.target || link.hasAttribute("download") || !isScreen(link))
      return;
    event.preventDefault();
    navigate(link.getAttribute("href"));
  });
  show();
}

function isScreen(link) {
  const { origin, pathname } = link;
  const isInside = pathname === BASE || pathname.startsWith(`${BASE}/`);
  return origin === location.origin && isInside && !link.getAttribute("href").startsWith("#");
}

function partsOf(pathname) {
  return pathname
    .slice(BASE.length)
    .split("/")
    .filter((part) => part !== "")
    .map(decoded);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function paramsOf(pattern, parts) {
  if (pattern.length !== parts.length) return null;
  const params = {};
  for (const [index, name] of pattern.entries()) {
    if (name.startsWith(":")) params[name.slice(1)] = parts[index];
    else if (name !== parts[index]) return null;
  }
  return params;
}
