// shell: what the two viewer pages show alike: connection, the red banner, errors, the demo banner, alert sound.

import { openAlerts, shownState } from "./captions.js";
import { clockTime, momentText } from "./i18n.js";
import { byId, element, icon, setText, settings } from "./page.js";
import { playAlert, unlockSound } from "./sound.js";

/** A chip says its state by sign, colour and words. Replaced only when it differs. */
export function showChip(chip, sign, state, words, help) {
  if (chip.dataset.state === state && chip.textContent === words) return;
  chip.dataset.state = state;
  chip.title = help;
  chip.replaceChildren(icon(sign), element("span", {}, words));
}

export function showBedState(chip, bed, { t }) {
  const state = shownState(bed);
  showChip(chip, state, state, t(`state_${state}`), t(`state_help_${state}`));
}

/** "Microphone off since 14:05. What is said there is not captioned." Empty while all is well. */
export function bedWarning(bed, page) {
  const state = shownState(bed);
  if (!["offline", "degraded", "reconnecting"].includes(state)) return "";
  const time = sinceText(bed, page);
  return page.t("state_since", { state: page.t(`state_${state}`), time, help: page.t(`state_help_${state}`) });
}

export function sinceText(bed, page) {
  return momentText(page.language(), bed.since * 1000, Date.now());
}

/** A row where sound was lost: nobody may take it for silence. */
export function gapNode({ gap_s, at }, t) {
  const time = element("time", { class: "at", datetime: new Date(at * 1000).toISOString() }, clockTime(at * 1000));
  return element("li", { class: "gap" }, time, element("p", {}, icon("gap"), element("span", {}, gapText(gap_s, t))));
}

export function gapText(seconds, t) {
  return t("gap", { s: seconds.toFixed(1) });
}

/** A row from which on captions may be missing that the gateway no longer has. */
export function lostNode({ at }, t) {
  const time = element("time", { class: "at", datetime: new Date(at * 1000).toISOString() }, clockTime(at * 1000));
  return element("li", { class: "lost" }, time, element("p", {}, icon("warning"), element("span", {}, t("lost"))));
}

/** Connection, errors and the demo model. Nobody may take a dead page for a silent patient. */
export function showLink(state, page) {
  const { t } = page;
  const signs = { connecting: "unknown", live: "live", reconnecting: "reconnecting", stopped: "warning" };
  showChip(byId("link"), signs[state.link], state.link, t(`link_${state.link}`), "");
  const stopped = state.link === "stopped";
  const time = momentText(page.language(), state.heardAt, Date.now());
  if (stopped) showStopped(t("stopped", { time }), t("stopped_help"));
  byId("stopped").hidden = !stopped;
  document.body.classList.toggle("is-stopped", stopped);
  byId("problem").hidden = state.problem === null;
  if (state.problem) setText(byId("problem"), t("problem", state.problem));
  byId("demo").hidden = !state.demo;
}

function showStopped(words, help) {
  const banner = byId("stopped");
  if (banner.dataset.words === words + help) return;
  banner.dataset.words = words + help;
  banner.replaceChildren(icon("warning"), element("div", {}, element("strong", {}, words), element("p", {}, help)));
}

/** The sound button and the rule: one tone for each new alert, and one when captions stop. */
export function startSound(page) {
  let on = settings.get("sound", false);
  let raised = 0;
  let stopped = false;
  const button = byId("sound");
  function show() {
    button.setAttribute("aria-pressed", String(on));
    const words = page.t(on ? "alert_sound_on" : "alert_sound_off");
    button.replaceChildren(icon(on ? "bell" : "bell-off"), element("span", { class: "wide" }, words));
  }
  button.addEventListener("click", async () => {
    on = !on;
    settings.set("sound", on);
    show();
    if (!on) return;
    await unlockSound();
    playAlert(); // so that the user knows what it will sound like
  });
  // Remembered as on: the first click or key anywhere unlocks it.
  for (const type of ["pointerdown", "keydown"]) {
    addEventListener(type, () => on && unlockSound(), { once: true });
  }
  function hear(state) {
    const news = state.alertsRaised > raised || (state.link === "stopped" && !stopped);
    raised = state.alertsRaised;
    stopped = state.link === "stopped";
    if (news && on) playAlert();
  }
  return { show, hear };
}

export function titleFor(state, title, t) {
  if (state.link === "stopped") return `⚠ ${t("link_stopped")} · ${title}`;
  const alerts = openAlerts(state).length;
  return alerts ? `(${alerts}) ${title}` : title;
}
