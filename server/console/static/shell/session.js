/** The session: which key the browser holds. The key itself is in a cookie that scripts cannot read. */

import { ApiClient } from "./api.js";

const ROLES = ["anonymous", "infer", "upload", "admin", "operator"];
const PATH = "/console/session";
const ANONYMOUS = { tenant: null, role: "anonymous", key_id: null, expires_at: null };

/** The rights of the current key. `tenant` is null for operators, and without a key. */
class Session {
  constructor(identity) {
    Object.assign(this, identity ?? ANONYMOUS);
  }

  get isSignedIn() {
    return this.role !== "anonymous";
  }

  get isOperator() {
    return this.role === "operator";
  }

  /** Return whether the key has at least this role. */
  allows(role) {
    return ROLES.indexOf(this.role) >= ROLES.indexOf(role);
  }

  /** Return whether the key may act on the data of a tenant with at least this role. */
  manages(tenant, role) {
    return this.allows(role) && (this.isOperator || this.tenant === tenant);
  }
}

const api = new ApiClient();
let current = null;

/** Return the session of the cookie. The server is asked once, and again after `forgetSession`. */
export async function readSession() {
  current ??= api.get(PATH).catch((error) => {
    forgetSession();
    throw error;
  });
  return new Session(await current);
}

/** Ask the server again next time, because the cookie or its key may have changed. */
export function forgetSession() {
  current = null;
}

/** Have the server set the cookie. Throws the API's error for a key that is not valid. */
export async function signIn(key) {
  await api.post(PATH, undefined, { headers: { Authorization: `Bearer ${key}` } });
  forgetSession();
}

/** Have the browser forget the key. */
export async function signOut() {
  await api.delete(PATH);
  forgetSession();
}
