/** One tenant: its state, its limits, and what it stores. */

import { fill, h } from "../components/dom.js";
import { factList, moment, number, stateTag } from "../components/facts.js";
import { limitDialog, limitNames, valueText } from "../components/limits.js";
import { table } from "../components/table.js";
import { toast } from "../components/toast.js";
import { tenantPath, withQuery } from "../shell/api.js";
import { linkTo } from "../shell/router.js";
import { stateActions } from "./tenant_actions.js";

export const title = ({ tenant }) => `Tenant ${tenant}`;

export async function render(context) {
  const path = tenantPath(context.tenant);
  const element = h("div");
  const load = async () => {
    const tenant = await context.api.get(path);
    // A deleted tenant has no limits.
    const limits = tenant.state === "deleted" ? null : await context.api.get(`${path}/limits`);
    fill(
      element,
      facts(context, path, tenant, load),
      limits && limitCard(context, path, limits, load),
    );
  };
  await load();
  return element;
}

function facts(context, path, tenant, load) {
  const { name, state, is_public: isPublic } = tenant;
  const publish = async () => {
    await context.api.patch(path, { is_public: !isPublic });
    toast(
      isPublic
        ? `Only ${name} and its readers may use its prefixes.`
        : `Everyone may use the prefixes of ${name}.`,
    );
    await load();
  };
  const screens = [
    ["keys", "Keys"],
    ["trainings", "Trainings"],
    ["review", "Review"],
    ["usage", "Usage"],
  ];
  return h(
    "section",
    { class: "card", "aria-label": "Facts" },
    factList([
      ["State", stateTag(state)],
      ["Created", moment(tenant.created_at)],
      ["Prefixes", isPublic ? "public: everyone may use and download them" : "private"],
    ]),
    h(
      "p",
      { class: "actions" },
      screens.map(([screen, text]) =>
        h("a", { class: "button", href: linkTo(screen, name) }, text),
      ),
      h("a", { class: "button", href: withQuery(linkTo("audit"), { tenant: name }) }, "Audit log"),
    ),
    h(
      "div",
      { class: "actions" },
      h(
        "button",
        { type: "button", onclick: publish },
        isPublic ? "Make its prefixes private" : "Make its prefixes public",
      ),
      stateActions(context, tenant, load),
    ),
  );
}

function limitCard(context, path, { limits, applied, stored }, load) {
  const change = async () => {
    const save = (changes) => context.api.patch(`${path}/limits`, changes);
    if (await limitDialog({ title: `Limits of ${context.tenant}`, limits, isKey: false, save })) {
      toast("The limits are changed.");
      await load();
    }
  };
  return h(
    "section",
    { class: "card", "aria-label": "Limits" },
    h("h2", {}, "Limits"),
    h(
      "p",
      {},
      `It stores ${number(stored.bytes)} bytes in ${number(stored.versions)} versions of ${number(stored.prefixes)} prefixes.`,
    ),
    table({
      caption: "Limits",
      isCaptionHidden: true,
      rows: limitNames(),
      columns: [
        { label: "Limit", value: ([, label]) => label },
        { label: "Applies", value: ([name]) => valueText(applied[name]), isNumeric: true },
        { label: "Set here", value: ([name]) => (name in limits ? "yes" : "default") },
      ],
    }),
    h("button", { type: "button", onclick: change }, "Change the limits"),
  );
}
