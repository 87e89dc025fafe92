// shell: the captions of one bed on the screen. captions.js decides what; this file makes elements of it.

import { may, startAccess } from "./access.js";
import { DEFAULT_KEYWORDS, findAlerts, parseKeywords } from "./alerts.js";
import { displayPartial, displayText, languageOf, openAlerts, rowsOf, shownState } from "./captions.js";
import { calendarDay, clockTime } from "./i18n.js";
import { byId, element, icon, keepAwake, setText, settings, startPage } from "./page.js";
import { startReader } from "./reader.js";
import { bedWarning, gapNode, lostNode, showBedState, showLink, startSound, titleFor } from "./viewer-parts.js";
import { watch } from "./viewer-socket.js";

const BED = bedOf(location.pathname);
const page = startPage(showAll);
const { t } = page;
const sound = startSound(page);
const reader = startReader(t);
let state = null;
let shown = new Map(); // row key -> {row, node}
let shownBed = null;

function bedOf(path) {
  const name = path.slice("/beds/".length);
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // not percent-encoded UTF-8: take it as it stands
  }
}

// --- the list -----------------------------------------------------------------------------------------------

function captionNode(row) {
  const body = element("p", { class: "text", dir: "auto", lang: languageOf(row.text, row.language) });
  const text = displayText(row.text);
  const matches = findAlerts(text, state.keywords);
  body.append(...marked(text, 0, matches));
  if (row.corrected) body.append(" ", element("span", { class: "mark", title: t("corrected_label") }, t("corrected")));
  return element(
    "li",
    { class: matches.length ? "caption has-alert" : "caption" },
    timeNode(row.at),
    saidNode(body, matches),
  );
}

function saidNode(body, matches) {
  return element("div", { class: "said" }, matches.length ? alertLabel(matches) : null, body);
}

function alertLabel(matches) {
  const words = [...new Set(matches.map((match) => match.keyword))].join("、");
  return element("strong", { class: "alert-label" }, icon("bell"), `${t("alert")} · ${words}`);
}

/** A text in pieces, alert words inside <mark>. It stands at `offset` of the text in which the matches were found. */
function marked(text, offset, matches) {
  const parts = [];
  let at = 0;
  for (const match of matches) {
    const start = Math.max(match.start - offset, at);
    const end = Math.min(match.end - offset, text.length);
    if (end <= start) continue;
    parts.push(text.slice(at, start), element("mark", {}, text.slice(start, end)));
    at = end;
  }
  return [...parts, text.slice(at)].filter((part) => part !== "");
}

function timeNode(at) {
  return element("time", { class: "at", datetime: new Date(at * 1000).toISOString() }, clockTime(at * 1000));
}

function rowNode(row) {
  switch (row.kind) {
    case "unclear": {
      const count = row.count > 1 ? ` × ${row.count}` : "";
      return element("li", { class: "unclear", title: row.reason ?? false }, timeNode(row.at), element("p", {}, t("unclear") + count));
    }
    case "gap":
      return gapNode(row, t);
    case "lost":
      return lostNode(row, t);
    case "day":
      return element("li", { class: "day" }, row.day);
    default:
      return captionNode(row);
  }
}

/** Brings the list up to date and touches only what changed: a screen reader reads additions once. */
function showRows(bed) {
  const list = byId("captions");
  const rows = rowsOf(bed, (ms) => calendarDay(page.language(), ms));
  const next = new Map();
  let before = 0;
  for (const row of rows) {
    const old = shown.get(row.key);
    const same = old && old.row.count === row.count;
    const entry = same ? old : { row, node: rowNode(row) };
    if (old && !same) old.node.replaceWith(entry.node);
    if (!old) {
      list.append(entry.node);
      if (row.kind === "caption" || row.kind === "gap") before += 1;
    }
    next.set(row.key, entry);
  }
  for (const [key, { node }] of shown) if (!next.has(key)) node.remove();
  shown = next;
  return before;
}

function partialNode(partial) {
  const { stable, tentative } = displayPartial(partial);
  const text = stable + tentative;
  const matches = findAlerts(text, state.keywords);
  const body = element(
    "p",
    { class: "text", dir: "auto", lang: languageOf(text, null) },
    element("span", { class: "stable" }, ...marked(stable, 0, matches)),
    element("span", { class: "tentative" }, ...marked(tentative, stable.length, matches)),
  );
  const bars = [1, 2, 3].map(() => element("i"));
  const speaking = { class: "at speaking", role: "img", "aria-label": t("speaking"), title: t("provisional") };
  return element(
    "div",
    { class: matches.length ? "caption has-alert" : "caption" },
    element("span", speaking, ...bars),
    saidNode(body, matches),
  );
}

function showAlerts() {
  const open = openAlerts(state, BED);
  byId("alerts").hidden = open.length === 0;
  const last = open.at(-1);
  if (!last) return;
  const more = open.length > 1 ? ` (${open.length})` : "";
  setText(byId("alert-text"), `${t("alert")}${more} · ${last.word} · ${clockTime(last.at * 1000)}`);
  setText(byId("alert-said"), displayText(last.text));
  byId("alert-said").lang = languageOf(last.text, null);
}

function show(now) {
  state = now;
  const bed = state.beds[BED];
  showLink(state, page);
  showBedState(byId("bed-state"), bed, page);
  document.title = titleFor(state, t("captions_title", { bed: BED }), t);
  sound.hear(state);
  showAlerts();
  if (!bed || bed === shownBed) return;
  shownBed = bed;
  reader.keepPlace(() => {
    const added = showRows(bed);
    byId("partials").replaceChildren(...bed.partials.map(partialNode));
    showBedWarning(bed);
    byId("waiting").hidden = bed.captions.length + bed.partials.length > 0;
    return added;
  });
  if (bed.asked) byId("log").setAttribute("aria-busy", "false");
}

function showBedWarning(bed) {
  const warning = bedWarning(bed, page);
  const box = byId("bed-warning");
  box.hidden = warning === "";
  box.dataset.state = shownState(bed);
  if (box.textContent !== warning) box.replaceChildren(icon(box.dataset.state), element("span", {}, warning));
}

/** After a change of language or alert words everything is made anew. */
function showAll() {
  setText(byId("bed-name"), t("bed", { bed: displayText(BED) }));
  for (const id of ["scroller", "log"]) byId(id).setAttribute("aria-label", t("captions_label", { bed: displayText(BED) }));
  setText(byId("waiting-text"), t("waiting", { bed: displayText(BED) }));
  byId("seen").setAttribute("aria-label", t("alert_seen_label", { bed: displayText(BED) }));
  byId("waiting-microphone").href = `/microphone?bed=${encodeURIComponent(BED)}`;
  sound.show();
  reader.show();
  if (state === null) return;
  byId("log").setAttribute("aria-busy", "true"); // not news
  byId("captions").replaceChildren();
  shown = new Map();
  shownBed = null;
  show(state);
}

// --- download -----------------------------------------------------------------------------------------------

for (const link of document.querySelectorAll("#save-dialog a")) {
  link.href = `/v1/beds/${encodeURIComponent(BED)}/captions?format=${link.dataset.format}`;
  link.download = `${BED}.${link.dataset.format}`;
  link.addEventListener("click", () => byId("save-dialog").close());
}
byId("save").addEventListener("click", () => byId("save-dialog").showModal());
byId("save-cancel").addEventListener("click", () => byId("save-dialog").close());

// --- alert words --------------------------------------------------------------------------------------------

const dialog = byId("words-dialog");

function showKeywords(keywords) {
  byId("words-list").value = keywords.join("\n");
}

byId("words").addEventListener("click", () => {
  showKeywords(state.keywords);
  dialog.showModal();
  byId("words-list").scrollTop = 0;
  byId("words-list").setSelectionRange(0, 0);
});
byId("words-reset").addEventListener("click", () => showKeywords(DEFAULT_KEYWORDS));
byId("words-cancel").addEventListener("click", () => dialog.close());
byId("words-save").addEventListener("click", () => {
  const keywords = parseKeywords(byId("words-list").value);
  settings.set("keywords", keywords);
  dialog.close();
  dispatch({ type: "keywords", keywords });
  showAll();
});

function markSeen() {
  dispatch({ type: "seen", bed: BED });
  byId("scroller").focus();
}

byId("seen").addEventListener("click", markSeen);
addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "s" || event.key === "S") byId("sound").click();
  const onControl = event.target instanceof Element && event.target.closest("button, a");
  if (event.key === "Enter" && !onControl && openAlerts(state, BED).length) markSeen();
});

page.show();
startAccess("viewer", (who) => (byId("save").hidden = !may(who, "viewer")));
keepAwake();
const dispatch = watch([BED], settings.get("keywords", DEFAULT_KEYWORDS), show);
