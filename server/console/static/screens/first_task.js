/** The way to the first training, while there is no task. */

import { h } from "../components/dom.js";
import { tenantPath } from "../shell/api.js";
import { linkTo } from "../shell/router.js";

/** Create the card; null if there are tasks. Without a key, its link leads to signing in first. */
export async function firstTask({ api, session }) {
  const { tenant, isSignedIn } = session;
  if (isSignedIn && !session.allows("upload")) return null;
  const { prefixes, data } = await api.get(tenant ? tenantPath(tenant, "prefixes") : "/v1/models");
  if ((prefixes ?? data).length > 0) return null;
  return h(
    "section",
    { class: "card", "aria-label": "First task" },
    h("h2", {}, "No tasks yet"),
    h("p", {}, "A task answers texts with labels, entities or answers. Train one on a labeled file."),
    h(
      "p",
      { class: "actions" },
      h("a", { class: "button primary", href: linkTo("trainings") }, "Train your first task"),
    ),
  );
}
