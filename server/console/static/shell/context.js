/** What a screen gets. */

import { toast } from "../components/toast.js";
import { ApiClient } from "./api.js";
import { navigate } from "./router.js";

/**
 * The context of one visit to a screen.
 *
 * - `params`: the parameters of the route's path, decoded
 * - `query`: the URLSearchParams of the URL; `setQuery` of shell/router.js changes them
 * - `session`: the rights of the key: `tenant`, `role`, `allows(role)`, `manages(tenant, role)`
 * - `tenant`: that of the path, else that of the key; null for operators without one in the path
 * - `api`: an ApiClient whose calls appear in the code panel and end when the user leaves
 * - `background`: the same, for repeated calls that the code panel should not list
 * - `signal`: aborts when the user leaves; end timers and streams with it
 * - `setTitle(text)`: replaces the title of the screen, if the path alone does not tell it
 * - `navigate(path)`: goes to another screen; make paths with `linkTo` of shell/router.js
 * - `reload(message)`: draws the screen again after a change, and shows the message
 * - `every(seconds, run)`: calls a function repeatedly while the screen is visible
 */
export class Context {
  constructor({ params, session, signal, panel, heading }) {
    this.params = params;
    this.query = new URLSearchParams(location.search);
    this.session = session;
    this.tenant = params.tenant ?? session.tenant;
    this.signal = signal;
    this.api = new ApiClient(signal, (call) => panel.add(call));
    this.background = new ApiClient(signal);
    this.navigate = navigate;
    this.setTitle = (text) => {
      heading.textContent = text;
    };
  }

  reload(message = null) {
    if (message !== null) toast(message);
    navigate(location.pathname + location.search, { isReplacing: true });
  }

  every(seconds, run) {
    const timer = setInterval(() => document.hidden || run(), seconds * 1000);
    this.signal.addEventListener("abort", () => clearInterval(timer));
  }
}
