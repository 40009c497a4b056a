/** An API call as a command of a POSIX shell. */

import { urlText } from "./url_text.js";

/** Without the variable, the shell prints the message and does not send the request. */
const KEY = '-H "Authorization: Bearer ${POLYPREFIX_KEY:?Set it to your API key}"';

/** Write a call, `{method, path, body, form}`, as a command. The key comes from the environment. */
export function curlOf({ method, path, body, form }) {
  const change = method === "GET" ? "" : `-X ${method} `;
  const parts = [
    `curl -s ${change}${quoted(urlText(path))}`,
    KEY,
  ];
  if (body !== undefined)
    parts.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(body))}`);
  for (const [name, value] of form ?? []) parts.push(`-F ${quoted(`${name}=${value}`)}`);
  return parts.join(" \\\n  ");
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
