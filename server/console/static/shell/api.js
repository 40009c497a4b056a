/** Calls of the HTTP API. The browser adds the cookie of the session. */

import { checkUnchanged } from "../components/chosen_files.js";

/** The event of the window when the server rejects the key of the cookie, or misses one. */
export const KEY_REJECTED = "keyrejected";

/**
 * An error response. `problem` is the document of RFC 9457, with `title`, `detail` and `code`.
 * `isOfSession` says that the key of the cookie is missing or not valid.
 */
export class ApiError extends Error {
  constructor(problem, status, requestId) {
    super(problem.detail);
    this.name = "ApiError";
    this.problem = problem;
    this.status = status;
    this.code = problem.code;
    this.requestId = requestId;
    this.isOfSession = false;
  }
}

/** Calls the API on behalf of one screen. */
export class ApiClient {
  /**
   * @param {AbortSignal} signal ends all calls when the user leaves the screen
   * @param {(call) => void} onCall is told each call before it is sent
   */
  constructor(signal, onCall = () => {}) {
    this.signal = signal;
    this.onCall = onCall;
  }

  get(path, query = {}) {
    return this.call("GET", withQuery(path, query));
  }

  post(path, body, options) {
    return this.call("POST", path, { body, ...options });
  }

  put(path, body, options) {
    return this.call("PUT", path, { body, ...options });
  }

  patch(path, body, options) {
    return this.call("PATCH", path, { body, ...options });
  }

  delete(path, options) {
    return this.call("DELETE", path, options);
  }

  /** Send fields as multipart/form-data. Values are texts and files. */
  async upload(path, fields) {
    const form = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
    for (const [, value] of form) if (value instanceof File) await checkUnchanged(value);
    return this.call("POST", path, { form });
  }

  /** Get all items of a list that comes in pages, such as `all("/v1/tenants", "tenants")`. */
  async all(path, name, { query = {}, maximum = 1000 } = {}) {
    const items = [];
    let next = withQuery(path, query);
    while (next && items.length < maximum) {
      const page = await this.call("GET", next);
      items.push(...page[name]);
      next = page.next;
    }
    return items;
  }

  /** Get all tenants, for operators. */
  tenants() {
    return this.all("/v1/tenants?limit=1000", "tenants");
  }

  /**
   * Send a request. Returns the parsed JSON, a text of another type, or null without a body.
   *
   * `problems` are the problem types of the tasks that answer, for the code to copy.
   *
   * @throws {ApiError} for an error response, and when the server cannot be reached
   */
  async call(method, path, { body, form, problems, headers = {} } = {}) {
    this.onCall({
      method,
      path,
      body,
      problems,
      form: form?.map(([name, value]) => [
        name,
        value instanceof File ? `@${value.name}` : String(value),
      ]),
    });
    const request = {
      method,
      headers: { ...headers },
      signal: this.signal,
      credentials: "same-origin",
    };
    if (body !== undefined) {
      request.headers["Content-Type"] = "application/json";
      request.body = JSON.stringify(body);
    } else if (form !== undefined) {
      request.body = new FormData();
      for (const [name, value] of form) request.body.append(name, value);
    }
    const response = await reach(urlOf(path), request);
    const content = await contentOf(response);
    if (response.ok) return content;
    const requestId = response.headers.get("X-Request-Id");
    const error = new ApiError(problemOf(content, response), response.status, requestId);
    error.isOfSession = error.status === 401 && !("Authorization" in headers);
    if (error.isOfSession) dispatchEvent(new CustomEvent(KEY_REJECTED, { detail: error.code }));
    throw error;
  }
}

/** Return the URL of a path of the server, for links and downloads. */
export function urlOf(path) {
  return `${document.documentElement.dataset.root}${path}`;
}

/** Return the path of the API for something of a tenant: `tenantPath("acme", "keys", id)`. */
export function tenantPath(tenant, ...parts) {
  return ["/v1/tenants", ...[tenant, ...parts].map(encodeURIComponent)].join("/");
}

/** Add the parameters of a query that have a value. Lists repeat them. */
export function withQuery(path, query) {
  const given = Object.entries(query)
    .flatMap(([name, value]) => [value].flat().map((one) => [name, one]))
    .filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`;
}

async function reach(url, request) {
  try {
    return await fetch(url, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const detail =
      "The server cannot be reached: no response came. Check that it runs, then try again.";
    throw new ApiError({ title: "No response", detail, code: "unreachable" }, 0, null);
  }
}

async function contentOf(response) {
  if (response.status === 204) return null;
  const isJson = /[/+]json/.test(response.headers.get("Content-Type") ?? "");
  return isJson ? response.json() : response.text();
}

function problemOf(content, response) {
  if (content !== null && typeof content === "object" && "detail" in content) return content;
  const title = `HTTP status ${response.status}`;
  return {
    title,
    detail: "The response is not one of this server. Check the proxy in front of it.",
    code: "unknown",
  };
}
