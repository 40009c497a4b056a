/** The choice of a tenant, for operators: their key belongs to none. */

import { h } from "./dom.js";
import { stateTag } from "./facts.js";
import { table } from "./table.js";
import { linkTo } from "../shell/router.js";

/** List the tenants, with a link to the screen of each. */
export async function tenantChoice(context, screen) {
  const tenants = await context.api.tenants();
  return [
    h("p", {}, "Your key belongs to no tenant. Choose one."),
    table({
      caption: "Tenants",
      isCaptionHidden: true,
      rows: tenants,
      empty: "There are no tenants. Create one on the screen Tenants.",
      columns: [
        { label: "Tenant", value: ({ name }) => h("a", { href: linkTo(screen, name) }, name) },
        { label: "State", value: ({ state }) => stateTag(state) },
      ],
    }),
  ];
}
