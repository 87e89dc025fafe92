// shell: the bedside microphone: one bed, one button.

import { displayPartial, displayText, languageOf } from "./captions.js";
import { clockTime } from "./i18n.js";
import { Outbox, failureText, meterLevel } from "./outbox.js";
import { byId, element, icon, keepAwake, setText, settings, startPage } from "./page.js";
import { openRecorder } from "./recorder.js";
import { speak } from "./speaker-socket.js";

const HELD_S = 5; // of sound while the gateway is away
const NO_SIGNAL_MS = 4000;
const FAINTEST_PEAK = 0.0005; // -66 dBFS: a muted microphone gives less, a silent room more
const KEPT_CAPTIONS = 50;

const page = startPage(showAll);
const { t } = page;
let phase = { name: "idle" }; // what is shown, with the values of its texts
let recorder = null;
let speaker = null;
let outbox = null;
let signalAt = 0;
let partials = [];

const active = () => speaker !== null || phase.name === "asking";
const keepAwakeNow = keepAwake(() => speaker !== null);

// --- what is shown ------------------------------------------------------------------------------------------

function setPhase(name, values = {}) {
  phase = { name, ...values };
  showPhase();
  keepAwakeNow();
}

function showPhase() {
  const values = { bed: byId("bed").value.trim(), n: HELD_S, port: location.port || "8001", ...phase };
  byId("status").dataset.phase = phase.name;
  setText(byId("status-name"), t(phase.title ?? `mic_${phase.name}`));
  setText(byId("status-help"), t(phase.help ?? `mic_${phase.name}_help`, values));
  const button = byId("toggle");
  const words = t(active() ? "stop" : "start");
  button.replaceChildren(icon(active() ? "stop" : "microphone"), element("span", {}, words));
  button.classList.toggle("is-on", active());
  button.disabled = phase.name === "stopping" || phase.blocked === true;
  byId("resume").hidden = phase.name !== "paused";
  for (const id of ["bed", "spoken"]) byId(id).disabled = active();
}

function showLevel({ peak, rms }) {
  const now = Date.now();
  if (peak > FAINTEST_PEAK) signalAt = now;
  byId("no-signal").hidden = now - signalAt < NO_SIGNAL_MS;
  const level = meterLevel(rms);
  byId("level-bar").style.transform = `scaleX(${level.toFixed(3)})`;
  byId("level").setAttribute("aria-valuenow", String(Math.round(level * 10) * 10));
  const seconds = outbox.droppedSamples / recorder.sampleRate;
  byId("dropped").hidden = seconds === 0;
  if (seconds > 0) setText(byId("dropped"), t("dropped", { s: seconds.toFixed(1) }));
}

function showFinal(final) {
  partials = partials.filter((p) => p.utterance !== final.utterance);
  showPartials();
  const text = displayText(final.text);
  const words = text || t("unclear");
  const said = element("p", { class: "text", dir: "auto", lang: text ? languageOf(text, final.language) : false }, words);
  const at = element("time", { class: "at" }, clockTime(Date.now()));
  byId("captions").append(element("li", { class: text ? "caption" : "unclear" }, at, said));
  while (byId("captions").children.length > KEPT_CAPTIONS) byId("captions").firstChild.remove();
  toEnd();
}

function showPartials() {
  const nodes = partials.map((partial) => {
    const { stable, tentative } = displayPartial(partial);
    return element(
      "p",
      { class: "text", dir: "auto", lang: languageOf(stable + tentative, null), title: t("provisional") },
      element("span", { class: "stable" }, stable),
      element("span", { class: "tentative" }, tentative),
    );
  });
  byId("partial").replaceChildren(...nodes);
  toEnd();
}

function toEnd() {
  byId("scroller").scrollTop = byId("scroller").scrollHeight;
}

function showAll() {
  document.title = t("microphone_title");
  showPhase();
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
    case "started":
      byId("demo").hidden = !event.demo;
      break;
    case "connected":
      if (phase.name !== "stopping") setPhase("listening");
      break;
    case "reconnecting":
      partials = [];
      showPartials();
      setPhase("reconnecting");
      break;
    case "partial":
      partials = [...partials.filter((p) => p.utterance !== event.utterance), event].slice(-3);
      showPartials();
      break;
    case "final":
      showFinal(event);
      break;
    case "notice":
      byId("notice").hidden = false;
      setText(byId("notice"), t("notice", { detail: event.detail }));
      break;
    case "refused":
      end("refused", { help: "mic_gateway_help", message: event.message, code: event.code });
      break;
    case "superseded":
      end("refused", { help: "mic_superseded_help" });
      break;
    case "finished":
      if (phase.name === "stopping") end("idle"); // else it ended for another reason, which stays on the screen
      break;
    default: // ack, speech, pong, and what later protocols add
  }
}

function end(name, values) {
  recorder?.close();
  recorder = null;
  speaker = null;
  partials = [];
  showPartials();
  for (const id of ["no-signal", "notice"]) byId(id).hidden = true;
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
  setPhase("asking");
  try {
    recorder = await openRecorder({ onChunk, onPause, onLost });
  } catch (error) {
    end("refused", { help: failureText(error.name), reason: error.message });
    return;
  }
  signalAt = Date.now();
  outbox = new Outbox(recorder.sampleRate * HELD_S);
  speaker = speak(startMessage(bed, language, recorder.sampleRate), outbox, hear);
  setPhase("connecting");
}

function onChunk(chunk) {
  if (speaker === null || phase.name === "stopping") return;
  speaker.push(chunk.samples);
  showLevel(chunk);
}

function onPause(paused) {
  if (paused && speaker && phase.name !== "stopping") setPhase("paused");
  if (!paused && phase.name === "paused") setPhase("listening");
}

function onLost() {
  speaker?.stop();
  end("refused", { help: "mic_unplugged_help" });
}

function stop() {
  setPhase("stopping");
  recorder.close();
  speaker.stop();
}

byId("toggle").addEventListener("click", () => (active() ? speaker && stop() : start()));
byId("resume").addEventListener("click", () => recorder?.resume());
byId("bed").addEventListener("input", showBedLink);
byId("bed").addEventListener("keydown", (event) => event.key === "Enter" && !active() && start());
addEventListener("beforeunload", (event) => {
  if (speaker === null) return;
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
