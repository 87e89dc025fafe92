// shell: how a device comes to trust this gateway's certificate, in the reader's language.

import { byId, setText, startPage } from "./page.js";

const page = startPage((language) => {
  document.title = page?.t("trust_title") ?? "Care Voice";
  for (const article of document.querySelectorAll("article")) article.hidden = article.lang !== language;
});

async function showFingerprint() {
  try {
    const trust = await (await fetch("/v1/trust", { cache: "no-store" })).json();
    setText(byId("fingerprint"), trust.fingerprint_sha256);
    byId("public").hidden = trust.self_signed;
    byId("download").hidden = !trust.self_signed;
  } catch {
    setText(byId("fingerprint"), page.t("login_unreachable"));
  }
}

page.show();
showFingerprint();
