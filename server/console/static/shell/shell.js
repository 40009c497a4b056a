/** The frame of all screens: navigation, theme, session, focus, errors, and the code panel. */

import { CodePanel } from "../components/code_panel.js";
import { fill, h } from "../components/dom.js";
import { errorBox, problemOf } from "../components/errors.js";
import { tag } from "../components/facts.js";
import { toast, toasts } from "../components/toast.js";
import { ApiError, KEY_REJECTED } from "./api.js";
import { Context } from "./context.js";
import { catchFileDrops } from "./file_drops.js";
import { linkTo, match, navigate, onNavigation, signInPath } from "./router.js";
import { forgetSession, readSession, signOut } from "./session.js";
import { themeButton } from "./theme_button.js";

const LOADING = "Loading";

/** Draw the frame, and show the screen of the URL now and on each navigation. */
export function startShell(routes) {
  const shell = new Shell(routes);
  addEventListener("unhandledrejection", reportRejection);
  addEventListener(KEY_REJECTED, ({ detail: code }) => shell.checkSession(code));
  // Another tab may have signed in or out meanwhile.
  document.addEventListener("visibilitychange", forgetSession);
  catchFileDrops();
  onNavigation(() => shell.show());
}

/** Show errors of the API that no form, dialog or screen has caught, such as those of a button. */
function reportRejection(event) {
  const { reason } = event;
  if (reason instanceof ApiError) toast(problemOf(reason).detail);
  else if (reason?.name !== "AbortError") return;
  event.preventDefault();
}

class Shell {
  constructor(routes) {
    this.routes = routes;
    this.nav = h("ul");
    this.account = h("div", { class: "account" });
    this.main = h("main", { id: "main", "aria-busy": "true" });
    this.visit = new AbortController();
    this.isFirst = true;
    this.isChecking = false;
    document.body.prepend(
      h("a", { class: "skip", href: "#main" }, "Skip to the content"),
      h(
        "header",
        {},
        h("a", { class: "brand", href: linkTo("") }, "polyprefix"),
        h("nav", { "aria-label": "Screens" }, this.nav),
        h("div", { class: "tools" }, themeButton(), this.account),
      ),
      this.main,
      toasts,
    );
  }

  async show() {
    this.visit.abort();
    this.visit = new AbortController();
    const { signal } = this.visit;
    this.main.setAttribute("aria-busy", "true");
    const heading = h("h1", { tabindex: "-1" }, LOADING);
    const panel = new CodePanel();
    const body = h("div", { class: "screen" });
    try {
      const session = await readSession();
      const found = match(this.routes, location.pathname);
      this.drawFrame(session, found?.route);
      const element = await this.open(found, { session, signal, panel, heading });
      if (signal.aborted) return;
      fill(body, element);
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401) forgetSession();
      if (heading.textContent === LOADING) heading.textContent = "Error";
      fill(body, errorBox(error));
    }
    document.title = `${heading.textContent} - polyprefix`;
    fill(this.main, heading, body, panel.element);
    this.main.removeAttribute("aria-busy");
    this.moveFocus(heading);
  }

  /** Set the heading, and return the content of the screen. */
  async open(found, { session, signal, panel, heading }) {
    if (found === null) {
      heading.textContent = "Not found";
      return notFound();
    }
    const { route, params } = found;
    if (!session.allows(route.role)) {
      heading.textContent = "Sign in";
      return roleNeeded(route, session);
    }
    const screen = await route.load();
    heading.textContent = screen.title(params);
    return screen.render(new Context({ params, session, signal, panel, heading }));
  }

  /**
   * Screen readers announce the heading of the new screen. The first page is read anyway. A screen
   * may mark another element with `autofocus`.
   */
  moveFocus(heading) {
    const marked = this.main.querySelector("[autofocus]");
    if (!this.isFirst) scrollTo(0, 0);
    if (marked || !this.isFirst) (marked ?? heading).focus();
    this.isFirst = false;
  }

  /**
   * Draw the frame again without the rights of a key that the server rejects. The cookie is deleted,
   * since the server would reject requests for public tasks with it, too.
   */
  async checkSession(code) {
    if (this.isChecking) return;
    this.isChecking = true;
    try {
      forgetSession();
      const session = await readSession();
      if (!session.isSignedIn && code === "invalid_key") await signOut();
      this.drawFrame(session, match(this.routes, location.pathname)?.route);
    } finally {
      this.isChecking = false;
    }
  }

  drawFrame(session, current) {
    const shown = this.routes.filter((route) => route.label && session.allows(route.role));
    fill(
      this.nav,
      shown.map((route) => h("li", {}, navLink(route, current))),
    );
    fill(this.account, session.isSignedIn ? signedIn(session) : signInLink());
  }
}

function navLink(route, current) {
  const isCurrent =
    current !== undefined && current.path.split("/")[0] === route.path.split("/")[0];
  return h(
    "a",
    { href: linkTo(...route.path.split("/")), "aria-current": isCurrent && "page" },
    route.label,
  );
}

function signInLink() {
  return h("a", { href: signInPath() }, "Sign in");
}

function signedIn(session) {
  const leave = async () => {
    await signOut();
    toast("Signed out. The key stays valid.");
    navigate(linkTo(""));
  };
  const owner = session.tenant ?? "all tenants";
  return [
    h("span", { title: `Key ${session.key_id}` }, `${owner} `, tag(session.role)),
    h("button", { type: "button", onclick: leave }, "Sign out"),
  ];
}

function roleNeeded(route, session) {
  const found = session.isSignedIn
    ? `Your key has the role ${session.role}`
    : "You are not signed in";
  return [
    h(
      "p",
      {},
      `${found}, and this screen needs the role ${route.role}. Sign in with a key of that role.`,
    ),
    h("p", {}, signInLink()),
  ];
}

function notFound() {
  return h("p", {}, "There is no screen at this address. Check it, or choose a screen above.");
}
