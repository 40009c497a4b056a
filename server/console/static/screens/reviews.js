/** The tasks whose uncertain answers can be reviewed, and the settings of recording. */

import { confirmDialog } from "../components/dialog.js";
import { fill, h } from "../components/dom.js";
import { textField } from "../components/fields.js";
import { number, tag } from "../components/facts.js";
import { table } from "../components/table.js";
import { tenantChoice } from "../components/tenant_choice.js";
import { toast } from "../components/toast.js";
import { tenantPath } from "../shell/api.js";
import { linkTo } from "../shell/router.js";

export const title = ({ tenant }) => (tenant ? `Review for ${tenant}` : "Review");

export async function render(context) {
  const { tenant, session } = context;
  if (tenant === null) return tenantChoice(context, "review");
  const { prefixes } = await context.api.get(tenantPath(tenant, "prefixes"));
  return [
    session.manages(tenant, "admin")
      ? await recordingCard(context)
      : h("p", {}, "An admin of the tenant decides which answers are recorded."),
    table({
      caption: "Tasks to review",
      rows: prefixes,
      empty: [
        "No task yet. ",
        h("a", { href: linkTo("trainings", tenant) }, "Train one first"),
        ".",
      ],
      columns: [
        {
          label: "Task",
          value: ({ task }) => h("a", { href: linkTo("review", tenant, task) }, task),
        },
        { label: "Versions", value: ({ versions }) => number(versions.length), isNumeric: true },
      ],
    }),
  ];
}

/** Create the card of the settings: whether answers are recorded, and how many are stored. */
async function recordingCard(context) {
  const path = tenantPath(context.tenant, "feedback");
  const card = h("section", { class: "card", "aria-label": "Recorded answers" });
  const load = async () => fill(card, content(await context.api.get(path)));
  const content = (state) => [
    h(
      "h2",
      {},
      "Recorded answers ",
      tag(state.is_enabled ? "on" : "off", state.is_enabled ? "good" : ""),
    ),
    h("p", {}, facts(state)),
    h(
      "button",
      { type: "button", onclick: () => change(state) },
      state.is_enabled ? "Stop recording" : "Record answers",
    ),
  ];
  const change = async (state) => {
    const days = textField({
      label: "Days to keep them",
      type: "number",
      min: "1",
      value: String(state.retention_days),
    });
    const body = () => ({
      is_enabled: !state.is_enabled,
      retention_days: Number(days.value),
      sample_percent: state.sample_percent,
    });
    const isDone = await confirmDialog({
      title: state.is_enabled ? "Stop recording?" : "Record answers?",
      content: state.is_enabled
        ? "Stored answers stay until their time is over."
        : [
            h(
              "p",
              {},
              "The server stores the texts of requests with keys of this tenant, and the answers to them.",
            ),
            days,
          ],
      action: state.is_enabled ? "Stop recording" : "Record answers",
      run: () => context.api.put(path, body()),
    });
    if (isDone) {
      toast("The settings are changed. They apply to the next request.");
      await load();
    }
  };
  await load();
  return card;
}

function facts({
  num_answers: answers,
  num_with_feedback: labeled,
  stored_bytes: bytes,
  retention_days: days,
  is_encrypted: isEncrypted,
}) {
  const stored = `${number(answers)} recorded answers, ${number(labeled)} of them with a right answer, take ${number(bytes)} bytes`;
  return `${stored}, ${isEncrypted ? "encrypted" : "not encrypted"}. Each is kept for ${number(days)} days.`;
}
