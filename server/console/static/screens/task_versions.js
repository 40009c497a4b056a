/** The versions of a task, and the figures of one of them. */

import { barChart } from "../components/charts.js";
import { confusionTable } from "../components/confusion.js";
import { h } from "../components/dom.js";
import { factList, moment, number, tag } from "../components/facts.js";
import { table } from "../components/table.js";
import { linkTo } from "../shell/router.js";
import { tenantPath, urlOf } from "../shell/api.js";
import { authorOf, playgroundLink, taskName } from "./task_types.js";

const MAX_LABELS = 200;

/** Create the table of all versions, the newest first. */
export function versionSection(visit) {
  const { base, entry, detail } = visit;
  const here = linkTo("tasks", entry.tenant, entry.task);
  const aliases = (version) =>
    entry.aliases.filter((alias) => alias.version === version).map(({ name }) => tag(name));
  return table({
    caption: "Versions",
    rows: [...entry.versions].reverse(),
    columns: [
      {
        label: "Version",
        value: ({ version }) =>
          h(
            "a",
            {
              href: `${here}?version=${version}`,
              "aria-current": version === detail.version && "true",
            },
            `@${version}`,
          ),
      },
      { label: "Aliases", value: ({ version }) => aliases(version) },
      { label: "Created", value: ({ created_at: at }) => moment(at) },
      { label: "By", value: ({ ref, created_by: by }) => authorOf(visit, ref, by) },
      {
        label: "KiB",
        value: ({ size_bytes: size }) => number(Math.ceil(size / 1024)),
        isNumeric: true,
      },
      {
        label: "File",
        value: ({ version }) =>
          h(
            "a",
            {
              href: urlOf(`${base}/versions/${version}/file`),
              download: `${entry.task}-${version}.safetensors`,
            },
            `Download @${version}`,
          ),
      },
      { label: "Compare", value: ({ version }) => compareLink(entry, version) },
    ],
  });
}

function compareLink(entry, version) {
  const live = entry.aliases.find(({ name }) => name === "live")?.version;
  if (!live || live === version) return "";
  const name = taskName(entry);
  return h(
    "a",
    { href: playgroundLink(`${name}@${live}`, `${name}@${version}`) },
    `@${live} with @${version}`,
  );
}

/** Create the figures of the chosen version: metrics, confusion, labels with thresholds, origin. */
export async function detailSection(visit) {
  const { detail } = visit;
  const confusion = confusionTable(detail.spec.labels, await findConfusion(visit));
  return h(
    "section",
    { class: "card", "aria-label": `Version ${detail.version}` },
    h("h2", {}, `Version @${detail.version}`),
    h(
      "div",
      { class: "columns" },
      metrics(detail),
      h("div", {}, h("h3", {}, "Labels and thresholds"), labels(detail.spec)),
    ),
    confusion && [h("h3", {}, "Confusion of the validation rows"), confusion],
    origin(detail),
  );
}

function metrics({ metrics: values }) {
  const shown = Object.entries(values).filter(([, value]) => Number.isFinite(value));
  const bars = shown
    .filter(([, value]) => value >= 0 && value <= 1)
    .map(([name, value]) => ({ label: words(name), value }));
  const others = shown.filter(([, value]) => value < 0 || value > 1);
  return h(
    "div",
    {},
    h("h3", {}, "Metrics"),
    shown.length === 0 && h("p", { class: "empty" }, "The file has no metrics."),
    barChart(bars),
    others.map(([name, value]) => h("p", {}, `${words(name)}: ${value.toPrecision(4)}`)),
  );
}

function words(name) {
  return name.replaceAll("_", " ");
}

function labels(spec) {
  const thresholds = spec.thresholds ?? spec.decisions?.thresholds ?? [];
  const byLabel = new Map(spec.labels?.map((label, index) => [label, thresholds[index]]));
  if (byLabel.size === 0) return h("p", { class: "empty" }, "This task type has no labels.");
  const rows = [...byLabel]
    .slice(0, MAX_LABELS)
    .map(([label, threshold]) => ({ label, threshold }));
  return h(
    "details",
    { open: byLabel.size <= 12 },
    h("summary", {}, `${byLabel.size} labels`),
    table({
      caption: "Labels of the version",
      isCaptionHidden: true,
      rows,
      columns: [
        { label: "Label", value: ({ label }) => label },
        {
          label: "Threshold of the file",
          value: ({ threshold }) => threshold ?? "none",
          isNumeric: true,
        },
      ],
    }),
  );
}

function origin({ spec, digest }) {
  const { provenance, backbone } = spec;
  return factList([
    ["Backbone", backbone?.name],
    ["Method", spec.method],
    ["Prefix length", spec.prefix_length || null],
    ["Trained at", provenance?.created_at && moment(provenance.created_at)],
    ["Training rows", provenance?.train_rows],
    ["Golden examples", spec.golden?.length],
    ["SHA-256", h("code", {}, digest)],
  ]);
}

/** Find the counts in the report of the training that made the version; null without one. */
async function findConfusion({ context, entry, detail, mayChange }) {
  if (!mayChange) return null;
  const path = tenantPath(entry.tenant, "trainings");
  const { trainings } = await context.api.get(path);
  const made = trainings.find(
    ({ task, result }) => task === entry.task && result?.version === detail.version,
  );
  if (!made) return null;
  try {
    const report = await context.api.get(`${path}/${made.id}/report`);
    return report.validation?.confusion ?? null;
  } catch (error) {
    if (error.code === "nothing_to_show") return null;
    throw error;
  }
}
