// shell: the bedside microphone: one bed, one button.

import { isJournalFailing, loginAddress, startAccess } from "./access.js";
import { Pauses, failureText, meterLevel, noticeClass, noticeText, noticesAfter } from "./microphone.js";
import { Outbox, RING_S } from "./outbox.js";
import { ownCaptions } from "./own-captions.js";
import { byId, element, icon, keepAwake, setText, settings, startPage } from "./page.js";
import { openRecorder } from "./recorder.js";
import { speak } from "./speaker-socket.js";

const NO_SIGNAL_MS = 4000;
const FAINTEST_PEAK = 0.0005; // -66 dBFS: a muted microphone gives less, a silent room more
const REFRESH_MS = 250;

const page = startPage(showAll);
const { t } = page;
const understood = ownCaptions(t);
let phase = { name: "idle" }; // what is shown, with the values of its texts
let recorder = null;
let speaker = null;
let outbox = null;
let pauses = null;
let paused = false;
let signalAt = 0;
let notices = [];
let leaving = false; // to the login page, on purpose

const active = () => speaker !== null || phase.name === "asking";
const keepAwakeNow = keepAwake(() => speaker !== null);

// --- what is shown ------------------------------------------------------------------------------------------

function setPhase(name, values = {}) {
  phase = { name, ...values };
  showPhase();
  keepAwakeNow();
}

/** The phase, or a name of its own for what the outbox makes of it. */
function shownPhase(status) {
  if (phase.name === "listening" && status?.behind) return "behind";
  if (phase.name === "reconnecting" && status?.full) return "losing";
  return phase.name;
}

function showPhase() {
  const status = speaker && outbox.status();
  const name = shownPhase(status);
  const values = { bed: byId("bed").value.trim(), n: RING_S, port: location.port || "8001", ...phase };
  byId("status-box").dataset.phase = name;
  setText(byId("status-name"), t(phase.title ?? `mic_${name}`));
  setText(byId("status-help"), t(phase.help ?? `mic_${name}_help`, values));
  showButtons();
  showKept(name, status);
}

function showButtons() {
  const words = t(phase.name === "stopping" ? "stop_now" : active() ? "stop" : "start");
  const button = byId("toggle");
  if (button.textContent !== words) {
    button.replaceChildren(icon(active() ? "stop" : "microphone"), element("span", {}, words));
  }
  button.classList.toggle("is-on", active());
  button.disabled = phase.blocked === true;
  byId("resume").hidden = phase.name !== "paused";
  byId("login").hidden = phase.name !== "login" && phase.login !== true;
  for (const id of ["bed", "spoken"]) byId(id).disabled = active();
}

/** Sound that is not sent yet, and what is lost for good. */
function showKept(name, status) {
  const late = status !== null && (status.behind || name === "reconnecting" || name === "login");
  byId("kept").hidden = !late;
  if (late) {
    const seconds = Math.round(status.unsentS);
    setText(byId("kept-words"), t(status.ready ? "mic_behind_by" : "mic_kept", { s: seconds, n: RING_S }));
    byId("kept-bar").style.transform = `scaleX(${Math.min(status.unsentS / RING_S, 1).toFixed(3)})`;
  }
  if (status === null) return; // what was lost stays on the screen until the next start
  byId("lost").hidden = status.lostS < 0.05;
  setText(byId("lost"), t("mic_lost", { s: status.lostS.toFixed(1) }));
}

function showLevel({ peak, rms }) {
  const now = Date.now();
  if (peak > FAINTEST_PEAK) signalAt = now;
  byId("no-signal").hidden = now - signalAt < NO_SIGNAL_MS;
  const level = meterLevel(rms);
  byId("level-bar").style.transform = `scaleX(${level.toFixed(3)})`;
  byId("level").setAttribute("aria-valuenow", String(Math.round(level * 10) * 10));
}

function showNotices() {
  const nodes = notices.map((notice) => element("li", { class: `banner ${noticeClass(notice.code)}` }, t(noticeText(notice.code), notice)));
  byId("notices").replaceChildren(...nodes);
}

/** Of what is the matter since before the link, only the journal's state can be asked for. */
async function showStanding() {
  notices = (await isJournalFailing()) ? noticesAfter([], { code: "journal_failing" }) : [];
  showNotices();
}

function showAll() {
  document.title = t("microphone_title");
  byId("login").href = loginAddress();
  showPhase();
  showNotices();
  showBedLink();
}

function showBedLink() {
  const bed = byId("bed").value.trim();
  byId("watch-bed").hidden = bed === "";
  byId("watch-bed").href = `/beds/${encodeURIComponent(bed)}`;
}

// --- listening ----------------------------------------------------------------------------------------------

function hear(event) {
  switch (event.type) {
    case "connected":
      byId("demo").hidden = !event.demo;
      showStanding();
      follow(paused ? "paused" : "listening");
      break;
    case "reconnecting":
    case "login":
      understood.endPartials();
      follow(event.type);
      break;
    case "partial":
      understood.partial(event);
      break;
    case "final":
      understood.final(event);
      break;
    case "gap":
      understood.gap(event.samples / outbox.rate);
      break;
    case "notice":
      notices = noticesAfter(notices, event);
      showNotices();
      break;
    case "refused":
      end("refused", { help: "mic_gateway_help", message: event.message, code: event.code });
      break;
    case "forbidden":
      end("refused", { title: "mic_forbidden", help: "mic_forbidden_help", login: true });
      break;
    case "superseded":
      end("superseded");
      break;
    case "finished":
      finished();
      break;
  }
}

/** The link changed; an ending is not interrupted by it. */
function follow(name) {
  if (phase.name !== "stopping") setPhase(name);
}

function finished() {
  const { unsentS } = outbox.status();
  if (unsentS >= 0.5) end("refused", { help: "mic_unsent_help", s: unsentS.toFixed(0) });
  else if (phase.unplugged) end("refused", { help: "mic_unplugged_help" });
  else end("idle");
}

function end(name, values) {
  recorder?.close();
  recorder = null;
  speaker = null;
  notices = [];
  understood.endPartials();
  showNotices();
  byId("no-signal").hidden = true;
  byId("level-bar").style.transform = "scaleX(0)";
  setPhase(name, values);
}

function startMessage(bed, language, sampleRate) {
  const audio = { encoding: "pcm_s16le", sample_rate: sampleRate, channels: 1 };
  return { type: "start", audio, bed, language: language || null };
}

async function start() {
  const bed = byId("bed").value.trim();
  if (bed === "") {
    setPhase("refused", { help: "mic_no_bed" });
    byId("bed").focus();
    return;
  }
  const language = byId("spoken").value;
  settings.set("bed", bed);
  settings.set("spoken", language);
  byId("lost").hidden = true;
  setPhase("asking");
  try {
    recorder = await openRecorder({ onChunk, onPause, onLost });
  } catch (error) {
    end("refused", { help: failureText(error.name), reason: error.message });
    return;
  }
  signalAt = Date.now();
  paused = false;
  pauses = new Pauses();
  outbox = new Outbox(startMessage(bed, language, recorder.sampleRate));
  speaker = speak(outbox, hear);
  setPhase("connecting");
}

function onChunk(chunk) {
  if (speaker === null || phase.name === "stopping") return;
  const missing = pauses.missingAt(chunk.atMs, chunk.samples.length / recorder.sampleRate);
  if (missing > 0) speaker.skip(missing);
  speaker.push(chunk.samples);
  showLevel(chunk);
}

function onPause(now) {
  paused = now;
  if (speaker && (paused || phase.name === "paused")) follow(paused ? "paused" : "listening");
}

function onLost() {
  stop({ help: "mic_unplugged_help", unplugged: true });
}

function stop(values) {
  setPhase("stopping", values);
  recorder.close();
  speaker.stop();
}

function toggle() {
  if (phase.name === "stopping") speaker.abandon();
  else if (!active()) start();
  else if (speaker) stop();
}

byId("toggle").addEventListener("click", toggle);
byId("resume").addEventListener("click", () => recorder?.resume());
byId("login").addEventListener("click", () => (leaving = true));
byId("bed").addEventListener("input", showBedLink);
byId("bed").addEventListener("keydown", (event) => event.key === "Enter" && !active() && start());
addEventListener("beforeunload", (event) => {
  if (speaker === null || leaving) return;
  event.preventDefault();
  event.returnValue = t("leave"); // browsers show their own words
});

byId("bed").value = new URLSearchParams(location.search).get("bed") ?? settings.get("bed", "");
byId("spoken").value = settings.get("spoken", "");
if (!window.isSecureContext || !navigator.mediaDevices) {
  phase = { name: "refused", title: "mic_insecure", help: "mic_insecure_help", blocked: true };
} else if (!window.AudioWorkletNode) {
  phase = { name: "refused", help: "mic_unsupported_help", blocked: true };
}
page.show();
setInterval(() => speaker && showPhase(), REFRESH_MS);
startAccess("speaker");
