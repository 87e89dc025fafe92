// core: what a caregiver page knows, as (state, event) -> state. No DOM, no socket, no clock: an event that needs
// the time carries `now` (Unix milliseconds of this device). Events are the gateway's viewer messages
// (docs/protocol.md) and those of the page itself: opened, closed, tick, asked, keywords, seen.
//
// Captions are numbered 1, 2, 3 ... within (bed, epoch); an epoch ends only if the gateway lost its journal. A caption
// already held is a repeat and is ignored. Any other number than the next means that something was missed: the bed
// becomes `again: "wanted"` and the shell asks for a snapshot; what is told about the bed before that snapshot is
// ignored, since the snapshot holds it. In a new epoch the numbers held mean nothing: all is sent again, and captions
// are known by when and by whom they were said.

import { findAlerts } from "./alerts.js";

export const KEPT_CAPTIONS = 300;
/** Milliseconds without any message after which a page must say that captions have stopped (DESIGN). */
export const SILENCE_MS = 5000;
/** A page that is opened raises alerts for what was said so recently; older ones are only highlighted. */
export const RECENT_ALERT_MS = 120_000;
const KEPT_ALERTS = 100;
const KEPT_PARTIALS = 4;

export function initialState(now, keywords) {
  return {
    link: "connecting", // connecting | live | reconnecting | stopped
    heardAt: now,
    skewMs: 0, // this device's clock minus the gateway's
    demo: false,
    problem: null, // the last error message
    epoch: null, // of all numbers held
    keywords,
    beds: {},
    alerts: [], // oldest first
    alertsRaised: 0, // ever; grows by one for each utterance that alerts
  };
}

export function reduce(state, event) {
  switch (event.type) {
    case "opened":
      return { ...state, problem: null };
    case "closed":
      return state.link === "live" ? { ...state, link: "reconnecting" } : state;
    case "tick":
      return tick(state, event.now);
    case "asked":
      return mapBeds(state, (bed) => (bed.again ? { ...bed, again: "asked" } : bed));
    case "keywords":
      return { ...state, keywords: event.keywords };
    case "seen":
      return { ...state, alerts: state.alerts.map((a) => (a.bed === event.bed ? { ...a, seen: true } : a)) };
    default:
      return message({ ...state, link: "live", heardAt: event.now }, event);
  }
}

function message(state, event) {
  switch (event.type) {
    case "snapshot":
      return snapshot(state, event);
    case "caption":
      return caption(state, event);
    case "partial":
      return partial(state, event);
    case "bed":
      return bedState(state, event);
    case "heartbeat":
      return { ...state, demo: Boolean(event.demo), skewMs: event.now - event.at * 1000 };
    case "error":
      return { ...state, problem: { code: event.code, message: event.message, fatal: event.fatal } };
    default:
      return state; // a later protocol's message
  }
}

/** A clock that jumped either way counts as silence: the page then reconnects, which costs nothing. */
function tick(state, now) {
  const silent = Math.abs(now - state.heardAt) >= SILENCE_MS;
  return silent && state.link !== "stopped" ? { ...state, link: "stopped" } : state;
}

function snapshot(before, event) {
  const state = before.epoch === event.epoch ? before : newEpoch(before, event.epoch);
  const old = state.beds[event.bed] ?? emptyBed(event.bed);
  const fresh = event.captions
    .filter((c) => c.number > old.number && !holds(old, c))
    .map((c) => ({ ...c, bed: event.bed }));
  const known = old.asked;
  const lost = known && (event.recovered === false || (old.number > 0 && (fresh[0]?.number ?? 0) > old.number + 1));
  const partials = event.partial ? [event.partial] : [];
  const number = event.captions.at(-1)?.number ?? 0;
  const bed = { ...changed(old, event), partials, again: null, asked: true, number: Math.max(number, old.number) };
  const at = fresh[0]?.at ?? gatewayTime(state);
  const added = withBed(state, append(lost ? marked(bed, at) : bed, event.epoch, fresh));
  const since = known ? -Infinity : event.now - state.skewMs - RECENT_ALERT_MS;
  return fresh.filter((c) => c.at * 1000 >= since).reduce(alertFor, added);
}

/** The gateway lost its journal: of no bed is known what came after the captions held. */
function newEpoch(state, epoch) {
  const renewed = (bed) => (bed.asked ? { ...marked(bed, gatewayTime(state)), number: 0 } : bed);
  return { ...mapBeds(state, renewed), epoch };
}

function caption(state, event) {
  const bed = state.beds[event.bed] ?? emptyBed(event.bed);
  const isNext = event.number === bed.number + 1 && state.epoch !== null; // else it is the next of what?
  if (isNext) return alertFor(withBed(state, append(bed, state.epoch, [event])), event);
  return holds(bed, event) ? state : withBed(state, { ...bed, again: bed.again ?? "wanted" });
}

/** Is it among the captions held, under whatever number? */
function holds(bed, caption) {
  const same = (c) => c.at === caption.at && sameUtterance(c, caption) && c.gap_s === caption.gap_s;
  return bed.captions.some(same);
}

/** Adds captions in order and ends their partials. */
function append(bed, epoch, captions) {
  const kindOf = (c) => (c.gap_s > 0 ? "gap" : "caption");
  const added = captions.map((c) => ({ ...c, bed: bed.bed, kind: kindOf(c), key: `${epoch}:${c.number}` }));
  return {
    ...bed,
    captions: [...bed.captions, ...added].slice(-KEPT_CAPTIONS),
    number: Math.max(bed.number, captions.at(-1)?.number ?? 0),
    partials: bed.partials.filter((p) => !captions.some((c) => sameUtterance(c, p))),
  };
}

/** With a mark that captions may be missing from here on, once. */
function marked(bed, at) {
  const last = bed.captions.at(-1);
  if (last?.kind === "lost") return bed;
  const mark = { kind: "lost", key: `lost:${last?.key}`, at: Math.max(at, last?.at ?? 0) };
  return { ...bed, captions: [...bed.captions, mark].slice(-KEPT_CAPTIONS) };
}

function partial(state, event) {
  const bed = state.beds[event.bed] ?? emptyBed(event.bed);
  if (bed.captions.some((c) => sameUtterance(c, event))) return state;
  const old = bed.partials.find((p) => sameUtterance(p, event));
  if (old && old.revision >= event.revision) return state;
  const partials = [...bed.partials.filter((p) => p !== old), event].slice(-KEPT_PARTIALS);
  const added = withBed(state, { ...bed, partials });
  return alertFor(added, { ...event, text: event.stable + event.tentative, provisional: true });
}

function bedState(state, event) {
  const bed = state.beds[event.bed] ?? emptyBed(event.bed);
  return withBed(state, changed(bed, event));
}

/** `present`: a microphone has been here, so "offline" means that it left. */
function changed(bed, { state, since }) {
  const partials = state === "offline" ? [] : bed.partials;
  return { ...bed, state, since, partials, present: bed.present || state !== "offline" };
}

/** One alert per utterance, as soon as a word is heard; a final without the word takes it back, a gap does not. */
function alertFor(state, said) {
  if (said.gap_s > 0) return state;
  const key = `${said.bed}\n${said.speaker}\n${said.utterance}`;
  const old = state.alerts.find((a) => a.key === key);
  const [match] = findAlerts(said.text, state.keywords);
  if (!match) {
    return old && !said.provisional ? { ...state, alerts: state.alerts.filter((a) => a !== old) } : state;
  }
  const now = { key, bed: said.bed, word: match.keyword, text: said.text, at: said.at, seen: old?.seen ?? false };
  if (old) return { ...state, alerts: state.alerts.map((a) => (a === old ? now : a)) };
  return { ...state, alerts: [...state.alerts, now].slice(-KEPT_ALERTS), alertsRaised: state.alertsRaised + 1 };
}

/** Unix seconds by the gateway's clock when it was last heard. */
function gatewayTime(state) {
  return (state.heardAt - state.skewMs) / 1000;
}

function emptyBed(bed) {
  return {
    bed,
    asked: false, // a snapshot of it has come
    state: null, // online | reconnecting | degraded | offline
    since: null,
    present: false,
    captions: [],
    number: 0, // of the newest caption held
    partials: [],
    again: null, // null | wanted | asked: a snapshot that fills a hole
  };
}

function withBed(state, bed) {
  return { ...state, beds: { ...state.beds, [bed.bed]: bed } };
}

function mapBeds(state, change) {
  return { ...state, beds: Object.fromEntries(Object.entries(state.beds).map(([name, b]) => [name, change(b)])) };
}

function sameUtterance(a, b) {
  return a.speaker === b.speaker && a.utterance === b.utterance;
}

// --- questions ----------------------------------------------------------------------------------------------

/** What to ask the gateway for, so that nothing held is sent again and nothing missing is left out. */
export function watchMessage(state, beds) {
  const held = Object.values(state.beds).filter((b) => b.number > 0);
  const after = Object.fromEntries(held.map((b) => [b.bed, b.number]));
  return { type: "watch", beds, after, epoch: state.epoch };
}

export function mustAskAgain(state) {
  return Object.values(state.beds).some((b) => b.again === "wanted");
}

/** Alerts nobody has confirmed yet, oldest first; of one bed or of all. */
export function openAlerts(state, bed) {
  return state.alerts.filter((a) => !a.seen && (bed === undefined || a.bed === bed));
}

/** What is listed for a bed: captions, gaps, runs of unclear sound as one row, missing captions, and days.
 *  `dayOf(unixMs)` gives a string that differs between days where the reader is. */
export function rowsOf(bed, dayOf) {
  const rows = [];
  let day = null;
  for (const caption of bed.captions) {
    const itsDay = dayOf(caption.at * 1000);
    if (day !== null && itsDay !== day) rows.push({ kind: "day", key: `day:${itsDay}`, day: itsDay });
    day = itsDay;
    const last = rows.at(-1);
    if (!isUnclear(caption)) rows.push(caption);
    else if (last?.kind === "unclear") rows[rows.length - 1] = { ...last, count: last.count + 1 };
    else rows.push({ kind: "unclear", key: caption.key, at: caption.at, reason: caption.suppressed, count: 1 });
  }
  return rows;
}

function isUnclear(caption) {
  return caption.kind === "caption" && caption.text.trim() === "";
}

/** online | reconnecting | degraded | offline, or unknown: no microphone has been there yet. */
export function shownState(bed) {
  if (!bed?.state) return "unknown";
  return bed.present || bed.number > 0 ? bed.state : "unknown";
}

/** Beds as the ward shows them: those with an open alert first if wanted, then by name, 2 before 10. */
export function sortedBeds(state, alertsFirst) {
  const alerted = new Set(alertsFirst ? openAlerts(state).map((a) => a.bed) : []);
  const byName = new Intl.Collator("en", { numeric: true });
  return Object.values(state.beds).sort(
    (a, b) => alerted.has(b.bed) - alerted.has(a.bed) || byName.compare(a.bed, b.bed),
  );
}

/** Text fit to be shown: without control characters and without those that reorder what stands around them. */
export function displayText(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, " ").trim();
}

/** A partial fit to be shown; a space between stable and tentative goes to the stable part. */
export function displayPartial({ stable, tentative }) {
  const space = stable.trim() !== "" && (/\s$/.test(stable) || /^\s/.test(tentative)) ? " " : "";
  return { stable: displayText(stable) + space, tentative: displayText(tentative) };
}

/** The lang attribute for a caption; a partial says no language, so its characters must. */
export function languageOf(text, language) {
  const code = language || (/\p{Script=Han}/u.test(text) ? "zh" : "en");
  return code === "zh" || code === "yue" ? "zh-Hant" : code;
}

/** Seconds to wait before attempt 1, 2, 3 ... to connect again; `random` in [0, 1) (full jitter). */
export function backoffSeconds(attempt, random) {
  const ceiling = [0.25, 0.5, 1, 2, 5][Math.min(attempt, 5) - 1];
  return 0.1 + random * ceiling;
}
