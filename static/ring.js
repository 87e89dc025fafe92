// core: the sound that a microphone still answers for: what was not sent, and what was sent but is not yet final.
//
// Positions count samples since the microphone was opened, over all connections. Only a commit forgets sound. Beyond
// the limit the oldest goes; if it is asked for again, take() declares the gap in its place: a loss is never silent.
//
//     start (committed)      cursor           end
//        |------ sent ---------|---- unsent ----|

export class Ring {
  constructor(limitSamples) {
    this.limitSamples = limitSamples;
    this.chunks = []; // {from, length, samples}; samples is null for sound that was never recorded
    this.heldSamples = 0;
    this.committed = 0; // everything before it is final
    this.cursor = 0; // the next sample to send
    this.end = 0;
    this.lost = []; // declared gaps as {from, to}, none overlapping: one that is declared again is no other loss
  }

  /** The first sample that is still here. */
  get start() {
    return this.chunks[0]?.from ?? this.end;
  }

  /** Samples that were lost, those included that no gap message has declared yet. */
  get lostSamples() {
    const declared = this.lost.reduce((sum, { from, to }) => sum + to - from, 0);
    if (this.cursor >= this.start) return declared;
    const known = this.lost.map(({ from, to }) => Math.max(0, Math.min(to, this.start) - Math.max(from, this.cursor)));
    return declared + this.start - this.cursor - known.reduce((sum, samples) => sum + samples, 0);
  }

  /** Takes an Int16Array of mono samples; beyond the limit the oldest chunks go. */
  push(samples) {
    this.append(samples.length, samples);
    this.heldSamples += samples.length;
    while (this.heldSamples > this.limitSamples) this.forgetOldest();
  }

  /** The microphone gave nothing for so long; time went on. */
  skip(length) {
    this.append(length, null);
  }

  /** What to send next: an Int16Array, a gap message, or null. */
  take() {
    if (this.cursor < this.start) return this.gapTo(this.start);
    const chunk = this.chunks.find((c) => c.from + c.length > this.cursor);
    if (chunk === undefined) return null;
    const chunkEnd = chunk.from + chunk.length;
    if (chunk.samples === null) return this.gapTo(chunkEnd);
    const rest = chunk.samples.subarray(this.cursor - chunk.from);
    this.cursor = chunkEnd;
    return rest;
  }

  /** Everything before `position` is final; what was never sent cannot be. */
  commit(position) {
    this.committed = Math.max(this.committed, Math.min(position, this.cursor));
    while (this.chunks.length && this.start + this.chunks[0].length <= this.committed) this.forgetOldest();
  }

  /** Sending goes on from there, and not beyond the end. */
  rewind(position) {
    this.cursor = Math.min(Math.max(position, 0), this.end);
  }

  append(length, samples) {
    this.chunks.push({ from: this.end, length, samples });
    this.end += length;
  }

  forgetOldest() {
    const oldest = this.chunks.shift();
    this.heldSamples -= oldest.samples?.length ?? 0;
  }

  gapTo(position) {
    const gap = { type: "gap", samples: position - this.cursor };
    const touches = ({ from, to }) => to >= this.cursor && from <= position;
    const whole = { from: this.cursor, to: position };
    for (const { from, to } of this.lost.filter(touches)) {
      whole.from = Math.min(whole.from, from);
      whole.to = Math.max(whole.to, to);
    }
    this.lost = [...this.lost.filter((gap) => !touches(gap)), whole];
    this.cursor = position;
    return gap;
  }
}
