// core: sound on its way to the gateway: a bounded queue that drops the oldest and says how much.
//
// Whatever was dropped in the middle of a stream lay just before the oldest sound still held, so the gap is declared
// before that is sent, and positions stay true on both sides.

export class Outbox {
  constructor(limitSamples) {
    this.limitSamples = limitSamples;
    this.chunks = [];
    this.heldSamples = 0;
    /** Dropped in this stream and not yet declared. */
    this.gapSamples = 0;
    /** Dropped ever. */
    this.droppedSamples = 0;
  }

  /** Takes an Int16Array of mono samples; drops the oldest chunks beyond the limit. */
  push(chunk) {
    this.chunks.push(chunk);
    this.heldSamples += chunk.length;
    while (this.heldSamples > this.limitSamples) {
      const oldest = this.chunks.shift();
      this.heldSamples -= oldest.length;
      this.gapSamples += oldest.length;
      this.droppedSamples += oldest.length;
    }
  }

  /** The next thing to send: a gap message, a chunk, or null. */
  take() {
    if (this.gapSamples > 0) {
      const gap = { type: "gap", samples: this.gapSamples };
      this.gapSamples = 0;
      return gap;
    }
    const chunk = this.chunks.shift() ?? null;
    this.heldSamples -= chunk?.length ?? 0;
    return chunk;
  }

  /** A new stream begins with the oldest sound held: what came before is no gap in it. */
  newStream() {
    this.gapSamples = 0;
  }
}

/** What a close code means for the speaker: retry, refused or superseded (docs/protocol.md). */
export function closeMeaning(code) {
  if (code === 4409) return "superseded";
  return [1002, 1003, 1007, 1008, 1009, 4401, 4403, 4410].includes(code) ? "refused" : "retry";
}

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
