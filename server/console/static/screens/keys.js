/** API keys of a tenant, or of operators: create, limit, rotate and revoke them. */

import { confirmDialog } from "../components/dialog.js";
import { fill, h } from "../components/dom.js";
import { form, selectField, textField } from "../components/fields.js";
import { daysAgo, moment, number, stateTag } from "../components/facts.js";
import { limitDialog, limitText } from "../components/limits.js";
import { table } from "../components/table.js";
import { tenantChoice } from "../components/tenant_choice.js";
import { secretBox } from "../components/secret_box.js";
import { toast } from "../components/toast.js";
import { tenantPath, withQuery } from "../shell/api.js";
import { forgetSession } from "../shell/session.js";

const ROLES = [
  ["infer", "infer: run tasks"],
  ["upload", "upload: publish, promote and train, too"],
  ["admin", "admin: manage the tenant, too"],
];
const LIFETIMES = [
  ["", "Never"],
  ["86400", "In a day"],
  ["604800", "In a week"],
  ["2592000", "In 30 days"],
  ["31536000", "In a year"],
];
const OVERLAPS = [
  ["86400", "A day"],
  ["0", "Not at all"],
  ["3600", "An hour"],
  ["604800", "A week"],
];
const USED = [
  ["requests", "requests"],
  ["tokens", "tokens"],
  ["training_cpu_seconds", "CPU seconds of trainings"],
];
const USAGE_DAYS = 7;
const MAX_USAGE_ROWS = 10_000;

export const title = ({ tenant }) => (tenant ? `Keys of ${tenant}` : "Keys");

export async function render(context) {
  const { tenant, session } = context;
  const screen = new KeyScreen(
    context,
    tenant === null ? "/v1/operator-keys" : tenantPath(tenant, "keys"),
  );
  await screen.load();
  const choice = tenant === null && session.isOperator ? await tenantChoice(context, "keys") : null;
  const heading = tenant === null && h("h2", {}, "Keys of operators");
  return [choice, heading, screen.element];
}

class KeyScreen {
  constructor(context, path) {
    this.context = context;
    this.path = path;
    this.isOfOperators = context.tenant === null;
    this.list = h("div");
    this.secret = h("div", { "aria-live": "polite" });
    this.element = h(
      "div",
      {},
      h("section", { class: "card" }, h("h2", {}, "New key"), this.newKeyForm()),
      this.secret,
      this.list,
    );
  }

  async load() {
    const [keys, usage] = await Promise.all([
      this.context.api.all(`${this.path}?limit=1000`, "keys"),
      this.isOfOperators ? new Map() : this.usage(),
    ]);
    fill(this.list, this.tableOf(keys.toReversed(), usage));
  }

  /** Add up what was used with each key in the last days. */
  async usage() {
    const query = { by: "key", since: daysAgo(USAGE_DAYS), limit: 1000 };
    const path = withQuery(tenantPath(this.context.tenant, "usage"), query);
    const rows = await this.context.api.all(path, "usage", { maximum: MAX_USAGE_ROWS });
    const sums = new Map();
    for (const { key_id: id, ...used } of rows) {
      const sum = sums.get(id) ?? {};
      sums.set(
        id,
        Object.fromEntries(USED.map(([name]) => [name, (sum[name] ?? 0) + used[name]])),
      );
    }
    return sums;
  }

  newKeyForm() {
    const role = selectField({ label: "Role", options: ROLES, value: "infer" });
    const label = textField({ label: "Note", maxlength: "200", hint: "What the key is used for." });
    const expiry = selectField({ label: "Expires", options: LIFETIMES });
    const submit = async () => {
      const body = {
        label: label.value.trim(),
        ...lifetime(expiry.value),
        ...(this.isOfOperators ? {} : { role: role.value }),
      };
      this.show(await this.context.api.post(this.path, body));
      label.value = "";
      await this.load();
    };
    return form({
      label: "New key",
      fields: h("div", { class: "columns" }, !this.isOfOperators && role, label, expiry),
      action: "Create the key",
      submit,
    });
  }

  /** Show a new key. It is nowhere else, so it stays until the user leaves or creates another. */
  show(made) {
    fill(this.secret, secretBox({ label: `Key ${made.id}`, secret: made.key }));
  }

  tableOf(keys, usage) {
    const columns = [
      { label: "Key", value: ({ id, label }) => [h("code", {}, id), h("br"), label] },
      { label: "Role", value: ({ role }) => role },
      {
        label: "State",
        value: (key) => [
          stateTag(key.state),
          key.replaced_by && h("span", { class: "hint" }, ` replaced by ${key.replaced_by}`),
        ],
      },
      { label: "Limits", value: ({ limits }) => limitText(limits), isOfTenants: true },
      { label: "Last used", value: (key) => moment(key.last_used_at) },
      {
        label: `Used in ${USAGE_DAYS} days`,
        value: ({ id }) => usageText(usage.get(id)),
        isOfTenants: true,
      },
      { label: "Expires", value: (key) => moment(key.expires_at) },
      { label: "Created", value: (key) => moment(key.created_at) },
      { label: "Actions", value: (key) => this.actions(key) },
    ];
    const shown = columns.filter(({ isOfTenants }) => !(this.isOfOperators && isOfTenants));
    return table({
      caption: "Keys, latest first",
      rows: keys,
      columns: shown,
      empty: "No key yet. Create one above.",
    });
  }

  actions(key) {
    if (key.state !== "valid") return "";
    const named = (text, onclick, style) =>
      h(
        "button",
        { type: "button", class: style, onclick, "aria-label": `${text} key ${key.id}` },
        text,
      );
    return h(
      "div",
      { class: "actions" },
      !this.isOfOperators && named("Limits", () => this.limit(key)),
      key.replaced_by === null && named("Rotate", () => this.rotate(key)),
      named("Revoke", () => this.revoke(key), "danger"),
    );
  }

  async limit(key) {
    const path = `${this.path}/${key.id}/limits`;
    const isDone = await limitDialog({
      title: `Limits of key ${key.id}`,
      limits: key.limits,
      isKey: true,
      save: (changes) => this.context.api.patch(path, changes),
    });
    if (isDone) await this.changed(`The limits of key ${key.id} are changed.`);
  }

  async rotate(key) {
    const overlap = selectField({ label: "The old key stays valid for", options: OVERLAPS });
    const run = async () =>
      this.show(
        await this.context.api.post(`${this.path}/${key.id}/rotate`, {
          overlap_seconds: Number(overlap.value),
        }),
      );
    const content = [h("p", {}, "The new key has the same role, note and limits."), overlap];
    if (await confirmDialog({ title: `Rotate key ${key.id}`, content, action: "Rotate", run }))
      await this.changed(`Key ${key.id} is rotated.`);
  }

  async revoke(key) {
    const isOwn = key.id === this.context.session.key_id;
    const isDone = await confirmDialog({
      title: `Revoke key ${key.id}?`,
      content: [
        "Requests with this key get 401 from now on. This cannot be undone.",
        isOwn && " You are signed in with this key, so you will be signed out.",
      ],
      action: "Revoke",
      isDangerous: true,
      run: () => this.context.api.delete(`${this.path}/${key.id}`),
    });
    if (!isDone) return;
    if (!isOwn) return this.changed(`Key ${key.id} is revoked.`);
    forgetSession();
    this.context.reload();
  }

  async changed(message) {
    toast(message);
    await this.load();
  }
}

function usageText(sum) {
  if (sum === undefined) return h("span", { class: "hint" }, "none");
  const shown = USED.filter(([name]) => sum[name] > 0);
  return shown.map(([name, label]) => `${number(Math.round(sum[name]))} ${label}`).join(", ");
}

function lifetime(seconds) {
  return seconds === "" ? {} : { expires_in_seconds: Number(seconds) };
}
