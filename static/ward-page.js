// shell: every bed of the ward as a card.

import { startAccess } from "./access.js";
import { DEFAULT_KEYWORDS, findAlerts } from "./alerts.js";
import { displayText, languageOf, openAlerts, shownState, sortedBeds } from "./captions.js";
import { agoText, clockTime } from "./i18n.js";
import { byId, element, icon, keepAwake, setText, settings, startPage } from "./page.js";
import { gapText, showBedState, showLink, sinceText, startSound, titleFor } from "./viewer-parts.js";
import { watch } from "./viewer-socket.js";

const LINES = 3;
const MANY_BEDS = 24;
const page = startPage(showAll);
const { t } = page;
const sound = startSound(page);
const cards = new Map(); // bed name -> {node, bed, alert}
let state = null;
let alertsFirst = settings.get("alerts-first", true);
let wanted = false;

function newCard(name) {
  const link = element("a", { class: "bed-name", href: `/beds/${encodeURIComponent(name)}` });
  const chip = element("p", { class: "chip" });
  const ago = element("p", { class: "ago" });
  const alert = element("p", { class: "card-alert", hidden: true });
  const warning = element("p", { class: "card-warning", hidden: true });
  const lines = element("ol", { class: "lines" });
  const head = element("div", { class: "card-head" }, element("h2", {}, link), chip);
  const node = element("li", { class: "card" }, head, alert, warning, lines, ago);
  return { node, link, chip, ago, alert, warning, lines };
}

function showCard(card, bed, alert) {
  if (card.bed !== bed || card.shownAlert !== alert) {
    setText(card.link, t("bed", { bed: displayText(bed.bed) }));
    showBedState(card.chip, bed, page);
    card.node.dataset.state = shownState(bed);
    card.node.classList.toggle("has-alert", Boolean(alert));
    showAlert(card, alert);
    card.warning.hidden = shownState(bed) !== "reconnecting";
    setText(card.warning, t("waiting_since", { time: sinceText(bed, page) }));
    card.lines.replaceChildren(...linesOf(bed, Boolean(alert)));
    card.bed = bed;
    card.shownAlert = alert;
  }
  const last = bed.captions.findLast((c) => c.kind === "caption");
  const seconds = last ? (Date.now() - state.skewMs) / 1000 - last.at : null;
  const words = seconds === null ? "" : agoText(page.language(), Math.max(seconds, 0));
  setText(card.ago, bed.partials.length ? t("speaking") : words);
  card.ago.classList.toggle("is-speaking", bed.partials.length > 0);
}

function showAlert(card, alert) {
  card.alert.hidden = !alert;
  if (!alert) return;
  const seen = element("button", { type: "button", "aria-label": t("alert_seen_label", { bed: alert.bed }) }, t("alert_seen"));
  seen.addEventListener("click", () => {
    dispatch({ type: "seen", bed: alert.bed });
    card.link.focus(); // the button goes away
  });
  const words = `${t("alert")} · ${alert.word} · ${clockTime(alert.at * 1000).slice(0, 5)}`;
  card.alert.replaceChildren(icon("bell"), element("span", {}, words), seen);
}

/** The last few captions with text, and what is missing; what is being said now comes last. */
function linesOf(bed, alerted) {
  const said = bed.captions.filter((c) => c.kind !== "caption" || c.text.trim() !== "").slice(-LINES);
  const now = bed.partials.slice(-1).map((p) => ({ text: p.stable + p.tentative, language: null, provisional: true }));
  const all = [...said, ...now].slice(-LINES);
  if (all.length === 0) return [element("li", { class: "nothing" }, t("no_captions"))];
  return all.map((line) => {
    if (line.kind === "gap") return element("li", { class: "line-gap" }, icon("gap"), gapText(line.gap_s, t));
    if (line.kind === "lost") return element("li", { class: "line-gap" }, icon("warning"), t("lost_short"));
    const alert = alerted && findAlerts(line.text, state.keywords).length > 0;
    const kind = [line.provisional && "tentative", alert && "line-alert"].filter(Boolean).join(" ");
    const text = element("span", { dir: "auto", lang: languageOf(line.text, line.language) }, displayText(line.text));
    return element("li", { class: kind || false }, text);
  });
}

function show(now) {
  state = now;
  wanted = true;
  document.title = titleFor(state, t("ward_title"), t); // a hidden tab is not drawn, its title is read
  sound.hear(state);
}

/** Drawn at most once per frame, however many beds speak. */
function draw() {
  requestAnimationFrame(draw);
  if (!wanted) return;
  wanted = false;
  showLink(state, page);
  const beds = sortedBeds(state, alertsFirst);
  const alerts = new Map(openAlerts(state).map((a) => [a.bed, a]));
  const list = byId("beds");
  beds.forEach((bed, i) => {
    if (!cards.has(bed.bed)) cards.set(bed.bed, newCard(bed.bed));
    const card = cards.get(bed.bed);
    showCard(card, bed, alerts.get(bed.bed));
    if (list.children[i] !== card.node) list.insertBefore(card.node, list.children[i] ?? null);
  });
  list.classList.toggle("many", beds.length > MANY_BEDS);
  byId("empty").hidden = beds.length > 0 || state.link !== "live";
  setText(byId("count"), countText(beds.length, alerts.size));
}

function countText(beds, alerts) {
  if (beds === 0) return "";
  const count = beds === 1 ? t("count_bed") : t("count_beds", { n: beds });
  return alerts ? `${count} · ${t("count_alerts", { n: alerts })}` : count;
}

function showAll() {
  sound.show();
  byId("alerts-first").setAttribute("aria-pressed", String(alertsFirst));
  for (const card of cards.values()) card.bed = null;
  if (state !== null) show(state);
}

byId("alerts-first").addEventListener("click", () => {
  alertsFirst = !alertsFirst;
  settings.set("alerts-first", alertsFirst);
  showAll();
});

page.show();
startAccess("viewer");
keepAwake();
const dispatch = watch(["*"], settings.get("keywords", DEFAULT_KEYWORDS), show);
setInterval(() => (wanted = state !== null), 5000); // "5 s ago" moves on by itself
requestAnimationFrame(draw);
