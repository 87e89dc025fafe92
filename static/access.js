// shell: who is logged in, the way to the login page, and out again. A gateway without keys, and one that knows
// nothing of logins, is open.

import { byId } from "./page.js";

const RENEW_MS = 30 * 60_000;
const HEADERS = { "X-Care-Voice": "1" }; // no form of another site can send it

const ANYBODY = { access: "open", role: "admin", beds: ["*"] };
const NOBODY = { access: "locked", role: null, beds: [] };

/** {access: open | locked, role: speaker | viewer | admin | null, beds}; null: the gateway does not answer. */
export async function whoami() {
  const answer = await get("/v1/whoami");
  if (answer?.status === 404) return ANYBODY;
  if (answer?.status === 401) return NOBODY;
  return answer?.ok ? answer.json() : null;
}

/** Is it known that captions cannot be kept now? */
export async function isJournalFailing() {
  const answer = await get("/health");
  return Boolean(answer?.ok) && (await answer.json()).status === "journal_failing";
}

async function get(path) {
  try {
    return await fetch(path, { cache: "no-store" });
  } catch {
    return null; // not reachable
  }
}

/** May they do what this page is for? Which beds, the gateway says when it is asked for them. */
export function may(who, role) {
  return who.access === "open" || who.role === "admin" || who.role === role;
}

/** Where to log in, and to come back from; `denied`: with another key. */
export function loginAddress(denied = false) {
  const query = new URLSearchParams({ next: location.pathname + location.search });
  if (denied) query.set("denied", "1");
  return `/login?${query}`;
}

/** Off to the login page if this page's role needs one. Resolves to whoami's answer. */
export async function checkLogin(role) {
  const who = await whoami();
  if (who && !may(who, role)) location.replace(loginAddress(who.role !== null));
  return who;
}

let renewal = 0;
let renewing = Promise.resolve(true);

/** What each page starts with: the login, the logout button, and a login that lasts as long as the page is open.
 *  `show(who)` is called when it is known. */
export async function startAccess(role, show = () => {}) {
  const who = await checkLogin(role);
  if (who === null) return;
  show(who);
  const loggedIn = who.access === "locked" && who.role !== null;
  byId("logout").hidden = !loggedIn;
  byId("logout").addEventListener("click", logOut);
  if (loggedIn) {
    renewal = setInterval(() => {
      renewing = post("/v1/login");
    }, RENEW_MS);
  }
}

async function logOut() {
  clearInterval(renewal);
  await renewing; // One that ends after the logout would log in again.
  if (await post("/v1/logout")) location.assign("/login");
}

async function post(path) {
  try {
    return (await fetch(path, { method: "POST", headers: HEADERS })).ok;
  } catch {
    return false; // Tried again later, or by the user.
  }
}
