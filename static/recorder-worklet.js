// shell, on the audio thread: mixes the channels to mono, makes 16-bit samples of them and posts them about every
// 80 ms with their loudness and the time of day. Whatever the device's rate is, it stays: the gateway resamples
// better than we could.

const CHUNK_S = 0.08;

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.chunkSamples = Math.round(sampleRate * CHUNK_S);
    this.begin();
  }

  begin() {
    this.samples = new Int16Array(this.chunkSamples);
    this.filled = 0;
    this.peak = 0;
    this.sumOfSquares = 0;
  }

  /** An input without channels (a device that pauses) is silence: time goes on. */
  process([channels]) {
    const length = channels[0]?.length ?? 128;
    for (let i = 0; i < length; i += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.push(channels.length ? sum / channels.length : 0);
    }
    return true;
  }

  push(value) {
    const clipped = Math.min(Math.max(value, -1), 1);
    this.samples[this.filled] = Math.round(clipped * 32767);
    this.filled += 1;
    this.peak = Math.max(this.peak, Math.abs(clipped));
    this.sumOfSquares += clipped * clipped;
    if (this.filled === this.chunkSamples) this.post();
  }

  post() {
    const rms = Math.sqrt(this.sumOfSquares / this.filled);
    const chunk = { samples: this.samples, peak: this.peak, rms, atMs: Date.now() };
    this.port.postMessage(chunk, [this.samples.buffer]);
    this.begin();
  }
}

registerProcessor("recorder", Recorder);
