// shell: the login page: a key for a cookie, which scripts cannot read.

import { failureText, landing, safeNext } from "./login.js";
import { byId, setText, startPage } from "./page.js";

const asked = new URLSearchParams(location.search);
const denied = asked.get("denied") !== null;
const page = startPage(showAll);
const { t } = page;
let who = null; // as /v1/whoami says; null: not known yet
let failure = null; // the key of a text, with its values

function showAll() {
  document.title = t("login_title");
  if (who === null) return;
  const inside = who.access === "open" || who.role !== null;
  byId("form").hidden = inside;
  byId("inside").hidden = !inside;
  if (inside) showInside();
  byId("failure").hidden = failure === null;
  if (failure) setText(byId("failure"), t(failure.text, failure));
}

function showInside() {
  const open = who.access === "open";
  const values = { name: who.name || who.id, role: t(`role_${who.role}`), beds: who.beds.join(", ") };
  setText(byId("who"), t(open ? "login_open" : denied ? "login_denied" : "login_as", values));
  byId("logout").hidden = open;
  // Back to the page that was denied would lead here again.
  byId("onward").href = landing(who, denied ? "/" : asked.get("next"));
}

async function ask(path, body) {
  const answer = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers: { "X-Care-Voice": "1", "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
    cache: "no-store",
  });
  return { ok: answer.ok, ...(await answer.json()) };
}

async function enter() {
  const key = byId("key").value.trim();
  if (!key) return byId("key").focus();
  byId("enter").disabled = true;
  try {
    const answer = await ask("/v1/login", { key });
    if (answer.ok) return location.replace(landing(answer, asked.get("next")));
    failure = { text: failureText(answer.code), code: answer.code };
  } catch {
    failure = { text: "login_unreachable" };
  }
  byId("enter").disabled = false;
  byId("key").select();
  showAll();
}

async function leave() {
  try {
    await ask("/v1/logout", {});
    location.replace(`/login?${new URLSearchParams({ next: safeNext(asked.get("next")) })}`);
  } catch {
    setText(byId("who"), t("login_unreachable"));
  }
}

async function begin() {
  try {
    who = await ask("/v1/whoami");
  } catch {
    who = { access: "locked", role: null, beds: [] };
    failure = { text: "login_unreachable" };
  }
  // Coming from another site the cookie stayed behind (SameSite=Strict); from here it goes along.
  if (who.role !== null && !denied && asked.get("next")) location.replace(landing(who, asked.get("next")));
  if (who.problem?.code === "expired_token") failure = { text: "login_expired" };
  showAll();
  if (!byId("form").hidden) byId("key").focus();
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  enter();
});
byId("logout").addEventListener("click", leave);
page.show();
begin();
