// core: what a bedside microphone decides: what to send when, what an answer means, when to come back or give up.
//
// The sound that is not final yet stays in a ring. When the link is lost the session is continued where the gateway
// says; if the gateway does not know it any more, a new one begins with the first sample that is not final. No clock,
// no socket, no randomness: `now` is milliseconds of a clock that never jumps, `random` is in [0, 1).
//
// Name and token of the session live in this object only. A token kept for a reload would be of little use (the
// sound is gone, and a page that is left says goodbye), and browsers copy what they store for a tab into its
// duplicate: two pages would then take the session from each other.

import { backoffSeconds } from "./captions.js";
import { Ring } from "./ring.js";

export const RING_S = 120;
/** Times real time at which what was kept is sent. */
export const CATCH_UP = 4;
/** With so much unsent, captions come noticeably late. */
const BEHIND_S = 2;
const BURST_S = 1;
/** Nothing heard for so long: ask, and then take the link for dead. The gateway acknowledges every second. */
const PING_MS = 2500;
const DEAD_MS = 5000;
const OPEN_MS = 8000;
/** A link that lasted so long was a good one: the next attempt comes at once. */
const STABLE_MS = 10_000;
/** After "stop" the rest is sent; without progress for so long it is given up. */
const STOP_MS = 10_000;

export class Outbox {
  /** `start` is the start message, without resume. */
  constructor(start, ringS = RING_S) {
    this.start = start;
    this.rate = start.audio.sample_rate;
    this.ring = new Ring(ringS * this.rate);
    this.session = null; // {session, token}
    this.base = 0; // where in the ring that session's position 0 is
    this.finals = 0; // the last one seen of that session
    this.link = "closed"; // closed | opening | starting | ready
    this.attempt = 0;
    this.changedAt = 0; // the link, that is
    this.readyAt = 0;
    this.credit = 0; // samples that may be sent now
    this.creditAt = 0;
    this.heardAt = 0;
    this.pinged = false;
    this.refusal = null; // the fatal error that came before a close
    this.stoppedAt = null; // the user has stopped; since then or since the last progress
    this.stopSent = false;
    this.done = false;
  }

  // --- the microphone ---

  push(samples) {
    if (this.stoppedAt === null) this.ring.push(samples);
  }

  /** The device gave no sound for so long: that is a loss too. */
  skip(seconds) {
    if (this.stoppedAt === null) this.ring.skip(Math.round(seconds * this.rate));
  }

  stop(now) {
    this.stoppedAt ??= now;
  }

  // --- the link ---

  connecting(now) {
    this.set("opening", now);
    this.attempt += 1;
    this.refusal = null;
  }

  /** The link is open; returns the start message. */
  opened(now) {
    this.set("starting", now);
    this.heardAt = now;
    return this.session ? { ...this.start, resume: { ...this.session, after: this.finals } } : this.start;
  }

  /** A message of the gateway; returns what the page should know. */
  receive(message, now) {
    this.heardAt = now;
    this.pinged = false;
    switch (message.type) {
      case "started":
        return this.started(message, now);
      case "ack":
        this.ring.commit(this.base + message.committed);
        this.progress(now);
        return [];
      case "final":
        return this.final(message, now);
      case "error":
        if (message.fatal) this.refusal = message;
        return [];
      case "stopped":
        this.done = this.stopSent;
        return [];
      case "partial":
      case "notice":
        return [message];
      default:
        return []; // speech, flushed, pong, and what later protocols add
    }
  }

  started(message, now) {
    const resumed = this.session !== null;
    if (!resumed) this.base = this.ring.committed;
    this.ring.rewind(this.base + message.resume_from);
    this.session = { session: message.session, token: message.token };
    this.set("ready", now);
    this.readyAt = this.creditAt = now;
    this.credit = BURST_S * this.rate;
    this.stopSent = false;
    this.progress(now);
    return [{ type: "connected", demo: message.demo, resumed }];
  }

  /** Finals that come again after a cut are known by their number. */
  final(message, now) {
    this.progress(now);
    if (message.number <= this.finals) return [];
    this.finals = message.number;
    const agoS = (this.ring.end - this.base) / this.rate - message.start;
    return [{ ...message, agoS: Math.max(agoS, 0) }];
  }

  /** The next thing to send: an Int16Array, a message, or null. `waitingBytes` are in the browser's own buffer, which
   *  nobody bounds. Live sound never waits; what was kept goes at CATCH_UP times its pace. */
  take(now, waitingBytes) {
    if (this.link !== "ready" || this.stopSent || waitingBytes > 2 * BURST_S * this.rate) return null;
    const earned = (CATCH_UP * this.rate * (now - this.creditAt)) / 1000;
    this.credit = Math.min(this.credit + earned, BURST_S * this.rate);
    this.creditAt = now;
    if (this.credit <= 0) return null;
    const next = this.ring.take();
    if (next instanceof Int16Array) this.credit -= next.length;
    if (next !== null || this.stoppedAt === null) return next;
    this.stopSent = true;
    return { type: "stop" };
  }

  /** What time demands: ping | dead | finish, or null. */
  check(now) {
    if (this.done || (this.stoppedAt !== null && now - this.stoppedAt >= STOP_MS)) return "finish";
    if (this.link === "closed") return null;
    if (this.link === "opening") return now - this.changedAt >= OPEN_MS ? "dead" : null;
    const quiet = now - this.heardAt;
    if (quiet >= DEAD_MS) return "dead";
    if (quiet < PING_MS || this.pinged) return null;
    this.pinged = true;
    return "ping";
  }

  /** The link is gone: {type: retry, delayMs, opened} | login | forbidden | superseded | refused | finish. */
  closed(code, reason, now, random) {
    const opened = this.link !== "opening";
    if (this.link === "ready" && now - this.readyAt >= STABLE_MS) this.attempt = 0;
    this.set("closed", now);
    const words = { code: this.refusal?.code ?? String(code), message: this.refusal?.message ?? reason };
    if (this.done) return { type: "finish" };
    // Forbidden to resume: somebody logged in anew, with another key. The sound is still this page's own.
    const forgotten = code === 4410 || words.code === "resume_forbidden";
    if (forgotten) this.forget();
    const meaning = closeMeaning(code);
    if (meaning !== "retry" && !forgotten) return { type: meaning, ...words };
    return { type: "retry", delayMs: 1000 * backoffSeconds(Math.max(this.attempt, 1), random), opened };
  }

  /** The gateway does not know the session any more: the next one begins with what is not final. */
  forget() {
    this.session = null;
    this.finals = 0;
  }

  set(link, now) {
    this.link = link;
    this.changedAt = now;
  }

  progress(now) {
    if (this.stoppedAt !== null) this.stoppedAt = now;
  }

  // --- shown ---

  /** Seconds: not yet sent, kept, and lost for good; `behind`: captions are noticeably late. */
  status() {
    const { ring, rate } = this;
    const unsentS = (ring.end - Math.max(ring.cursor, ring.start)) / rate;
    return {
      ready: this.link === "ready",
      behind: unsentS >= BEHIND_S,
      unsentS,
      lostS: ring.lostSamples / rate,
      full: ring.cursor < ring.start,
    };
  }
}

/** What a close code means for a speaker (docs/protocol.md). */
export function closeMeaning(code) {
  const meanings = { 4401: "login", 4403: "forbidden", 4409: "superseded" };
  return meanings[code] ?? ([1002, 1003, 1007, 1008, 1009].includes(code) ? "refused" : "retry");
}
