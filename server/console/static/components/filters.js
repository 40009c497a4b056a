/** Filters of a list. They are in the query of the URL, so that a filtered list can be shared. */

import { h } from "./dom.js";
import { form } from "./fields.js";
import { setQuery } from "../shell/router.js";

/**
 * Create a form of filters.
 *
 * @param {object} context of the screen
 * @param {Record<string, Element>} fields by the name of the parameter
 * @param {() => Promise<any>} show draws the list for `filterValues`
 */
export function filterForm(context, fields, show) {
  for (const [name, field] of Object.entries(fields)) field.value = context.query.get(name) ?? "";
  const submit = async () => {
    setQuery(filterValues(fields));
    await show();
  };
  return form({
    label: "Filter",
    fields: h("div", { class: "columns filters" }, Object.values(fields)),
    action: "Apply",
    submit,
  });
}

/** Return the values of the fields that are not empty. */
export function filterValues(fields) {
  const values = Object.entries(fields).map(([name, field]) => [name, field.value.trim()]);
  return Object.fromEntries(values);
}

/** Write the query of the API: a day becomes a time in UTC. */
export function queryOf(values) {
  const query = { ...values };
  for (const name of ["since", "until"]) if (query[name]) query[name] = `${query[name]}T00:00:00Z`;
  return query;
}
