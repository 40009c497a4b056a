/** All tenants, for operators: create, suspend, resume and delete them. */

import { fill, h } from "../components/dom.js";
import { checkField, form, textField } from "../components/fields.js";
import { moment, stateTag } from "../components/facts.js";
import { table } from "../components/table.js";
import { toast } from "../components/toast.js";
import { linkTo } from "../shell/router.js";
import { stateActions } from "./tenant_actions.js";

export const title = () => "Tenants";

export async function render(context) {
  const list = h("div");
  const load = async () => fill(list, tableOf(await context.api.tenants(), context, load));
  await load();
  return [
    h("section", { class: "card" }, h("h2", {}, "New tenant"), newTenantForm(context, load)),
    list,
  ];
}

function newTenantForm(context, load) {
  const name = textField({
    label: "Name",
    required: true,
    maxlength: "63",
    spellcheck: "false",
    hint: "1 to 63 of a-z, 0-9 and -. It cannot be changed.",
  });
  const isPublic = checkField({ label: "Everyone may use and download its prefixes" });
  const submit = async () => {
    const made = await context.api.post("/v1/tenants", {
      name: name.value.trim(),
      is_public: isPublic.input.checked,
    });
    name.value = "";
    toast(`Tenant ${made.name} is created. Create a key for it next.`);
    await load();
    return h(
      "p",
      {},
      "Next: ",
      h("a", { href: linkTo("keys", made.name) }, `create a key of ${made.name}`),
      ".",
    );
  };
  return form({
    label: "New tenant",
    fields: [name, isPublic],
    action: "Create the tenant",
    submit,
  });
}

function tableOf(tenants, context, load) {
  return table({
    caption: "Tenants by name",
    rows: tenants,
    empty: "No tenant yet. Create one above.",
    columns: [
      { label: "Tenant", value: ({ name }) => h("a", { href: linkTo("tenants", name) }, name) },
      { label: "State", value: ({ state }) => stateTag(state) },
      { label: "Public", value: ({ is_public: isPublic }) => (isPublic ? "yes" : "no") },
      { label: "Created", value: (tenant) => moment(tenant.created_at) },
      { label: "Actions", value: (tenant) => stateActions(context, tenant, load) },
    ],
  });
}
