// core: what the microphone page shows: loudness, why there is no microphone, and what the gateway reports.

const LONGEST_PAUSE_S = 12 * 3600; // the gateway takes a gap of up to 24 hours

/** Loudness for the eye: -60 dBFS and below is 0, full scale is 1. */
export function meterLevel(rms) {
  return Math.min(Math.max(1 + (20 * Math.log10(Math.max(rms, 1e-6))) / 60, 0), 1);
}

/** The getUserMedia failure -> the key of the text that says what to do. */
export function failureText(name) {
  const texts = {
    NotAllowedError: "mic_denied_help",
    SecurityError: "mic_denied_help",
    NotFoundError: "mic_missing_help",
    OverconstrainedError: "mic_missing_help",
    NotReadableError: "mic_busy_help",
    AbortError: "mic_busy_help",
  };
  return texts[name] ?? "mic_failed_help";
}

/** A warning is for whoever stands there; the others pass by themselves. */
export function noticeClass(code) {
  return ["journal_failing", "decode_failed"].includes(code) ? "warning" : "note";
}

const SUBJECTS = {
  degraded_slower: "load",
  degraded_finals_only: "load",
  degraded_refusing: "load",
  engine_restarting: "engine",
  journal_failing: "journal",
};
const ENDS = { recovered: "load", engine_ready: "engine", journal_ok: "journal" };

/** What is the matter after this notice: of each subject the newest, until its end is told; other notices stand until
 *  the next one. [{code, detail, subject}], oldest first. */
export function noticesAfter(notices, { code, detail }) {
  const subject = ENDS[code] ?? SUBJECTS[code] ?? "other";
  const others = notices.filter((notice) => notice.subject !== subject);
  return code in ENDS ? others : [...others, { code, detail, subject }];
}

/** The key of the page's own words for a notice; the gateway's are English. */
export function noticeText(code) {
  return code in SUBJECTS || code === "decode_failed" || code === "going_away" ? `notice_${code}` : "notice";
}

/** Finds sound that the device never gave (it slept, a call took the microphone): wall time passes, samples do not
 *  come, and do not come late either. */
export class Pauses {
  constructor() {
    this.recent = []; // {atMs, ahead}: by how many seconds wall time was ahead of the samples
  }

  /** A chunk of so many seconds was recorded at wall time `atMs`. Returns the seconds found missing, usually 0. */
  missingAt(atMs, seconds) {
    const last = this.recent.at(-1) ?? { atMs: atMs - seconds * 1000, ahead: 0 };
    // Forgets slowly, since two clocks never agree for hours.
    const ahead = last.ahead * 0.999 + (atMs - last.atMs) / 1000 - seconds;
    this.recent = [...this.recent.filter((r) => Math.abs(atMs - r.atMs) < 1500), { atMs, ahead }];
    const missing = Math.min(...this.recent.map((r) => r.ahead));
    if (missing < 1 || atMs - this.recent[0].atMs < 1000) return 0;
    this.recent = [{ atMs, ahead: ahead - missing }];
    return Math.min(missing, LONGEST_PAUSE_S);
  }
}
