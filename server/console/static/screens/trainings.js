/** Starting a training, and the trainings of a tenant. */

import { h } from "../components/dom.js";
import { moment, stateTag, tag } from "../components/facts.js";
import { table } from "../components/table.js";
import { tenantChoice } from "../components/tenant_choice.js";
import { tenantPath } from "../shell/api.js";
import { linkTo } from "../shell/router.js";
import { trainingForm } from "./training_form.js";

export const title = ({ tenant }) => (tenant ? `Trainings of ${tenant}` : "Trainings");

export async function render(context) {
  const { tenant } = context;
  if (tenant === null) return tenantChoice(context, "trainings");
  const path = `${tenantPath(tenant, "trainings")}?limit=100`;
  const [found, { prefixes }] = await Promise.all([
    context.api.all(path, "trainings", { maximum: 100 }),
    context.api.get(tenantPath(tenant, "prefixes")),
  ]);
  const aliases = new Map(prefixes.map((entry) => [entry.task, entry.aliases]));
  return [
    h("section", { class: "card" }, trainingForm(context)),
    table({
      caption: "Trainings, latest first",
      rows: found,
      empty: "No training yet. Drop a labeled file above.",
      columns: [
        {
          label: "Training",
          value: ({ id, created_at }) =>
            h("a", { href: linkTo("trainings", tenant, id) }, moment(created_at)),
        },
        { label: "Task", value: ({ task }) => task },
        { label: "State", value: ({ state }) => stateTag(state) },
        { label: "Version", value: (one) => versionOf(one, aliases.get(one.task)) },
      ],
    }),
  ];
}

/** Show the published version, with the aliases that point to it now. */
function versionOf({ result }, aliases = {}) {
  if (result === null) return "";
  const names = Object.entries(aliases).filter(([, version]) => version === result.version);
  return [`@${result.version} `, names.map(([name]) => tag(name, "good"))];
}
