/** API calls as text: a curl command, and Python. */

const KEY = "$POLYPREFIX_KEY";

/** Write a call as a command of a POSIX shell. */
export function curlOf({ method, path, body, form }) {
  const parts = [`curl -s ${quoted(address(path))}`];
  if (method !== "GET") parts[0] = `curl -s -X ${method} ${quoted(address(path))}`;
  parts.push(`-H "Authorization: Bearer ${KEY}"`);
  if (body !== undefined) parts.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(body))}`);
  for (const [name, value] of form ?? []) parts.push(`-F ${quoted(`${name}=${value}`)}`);
  return parts.join(" \\\n  ");
}

/** Write a call as Python. */
export function pythonOf({ method, path, body, form }) {
  const argumentsOf = [JSON.stringify(path)];
  if (body !== undefined) argumentsOf.push(`json=${literal(body)}`);
  const files = (form ?? []).filter(([, value]) => value.startsWith("@"));
  const values = (form ?? []).filter(([, value]) => !value.startsWith("@"));
  if (files.length > 0) argumentsOf.push(`files={${files.map(([name, value]) => `${JSON.stringify(name)}: open(${JSON.stringify(value.slice(1))}, "rb")`).join(", ")}}`);
  if (values.length > 0) argumentsOf.push(`data={${values.map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`).join(", ")}}`);
  return [
    "import os",
    "import httpx",
    "",
    "client = httpx.Client(",
    `    base_url=${JSON.stringify(address(""))},`,
    '    headers={"Authorization": f"Bearer {os.environ[\'POLYPREFIX_KEY\']}"},',
    ")",
    `response = client.${method.toLowerCase()}(${argumentsOf.join(", ")})`,
    "print(response.raise_for_status().json())",
  ].join("\n");
}

function address(path) {
  return `${location.origin}${document.documentElement.dataset.root}${path}`;
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function literal(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${literal(item)}`).join(", ")}}`;
  return JSON.stringify(value);
}
