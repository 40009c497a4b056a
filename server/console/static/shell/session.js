/** The session: which key the browser holds. The key itself is in a cookie that scripts cannot read. */

import { ApiClient } from "./api.js";

const ROLES = ["anonymous", "infer", "upload", "admin", "operator"];
const PATH = "/console/session";
const ANONYMOUS = { tenant: null, role: "anonymous", key_id: null, expires_at: null };

/** The rights of the current key. `tenant` is null for operators, and without a key. */
export class Session {
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

/** Ask the server whose key the cookie holds. */
export async function readSession() {
  return new Session(await api.get(PATH));
}

/** Have the server set the cookie. Throws the API's error for a key that is not valid. */
export async function signIn(key) {
  return new Session(
    await api.post(PATH, undefined, { headers: { Authorization: `Bearer ${key}` } }),
  );
}

/** Have the browser forget the key. */
export async function signOut() {
  await api.delete(PATH);
}
