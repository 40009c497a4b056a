/** Uploading the first version of a new task. */

import { h } from "../components/dom.js";
import { selectField } from "../components/fields.js";
import { uploadForm } from "./upload_form.js";

export const title = () => "Upload a task";

export async function render(context) {
  const { session, query, api } = context;
  if (!session.isOperator) return uploadForm(context, { tenant: session.tenant });
  const tenants = await api.tenants();
  const choice = selectField({
    label: "Tenant",
    value: query.get("tenant"),
    options: tenants.map(({ name }) => name),
  });
  const place = h("div");
  const draw = () => place.replaceChildren(uploadForm(context, { tenant: choice.value }));
  choice.input.addEventListener("change", draw);
  draw();
  return [choice, place];
}
