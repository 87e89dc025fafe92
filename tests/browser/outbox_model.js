// A microphone whose every sample is known, a wire that delays, cuts and goes dead, a gateway that restarts with and
// without its journal; and outbox.js between them. At the end every sample must have been heard by the gateway or
// declared lost, the latter only if the ring overflowed, and every final told once and in order. Returns the first
// run in which that is not so, or {lives, cuts, gaps ...}: what the runs went through.
async (runs) => {
  const { Outbox } = await import("/static/outbox.js");
  const RATE = 100; // samples a second
  const RING_S = 20;
  const STEP_MS = 80;
  const CHUNK = (RATE * STEP_MS) / 1000;

  function randomOf(seed) {
    let x = seed * 2654435761 + 1;
    return () => {
      x = (Math.imul(x ^ (x >>> 15), 2246822519) + 0x9e3779b9) | 0;
      return ((x ^ (x >>> 13)) >>> 0) / 2 ** 32;
    };
  }

  /** What the gateway knows of one session; `base` is where it begins in the microphone's own count. */
  function newSession(name, base) {
    return { name, base, heard: [], committed: 0, finals: [] };
  }

  function run(seed, totals) {
    const random = randomOf(seed);
    const outbox = new Outbox({ type: "start", audio: { sample_rate: RATE } }, RING_S);
    const sessions = new Map();
    const told = new Map(); // session -> numbers of the finals that the page was told
    const over = []; // sessions that no gateway knows any more, with what they have for good
    let now = 0;
    let pushed = 0;
    let retryAt = 0;
    let gateUntil = 0; // no gateway before
    let link = null; // {up: [], down: [], session, dead}
    let stopped = false;
    let overflowed = false;

    const wire = (queue, data) => queue.push({ at: now + 20 + random() * 200, data });
    const arrived = (queue) => {
      const due = [];
      while (queue.length && queue[0].at <= now) due.push(queue.shift().data);
      return due;
    };
    const close = (code) => {
      link = null;
      const verdict = outbox.closed(code, "", now, random());
      if (verdict.type === "finish") stopped = true;
      else retryAt = now + verdict.delayMs;
    };

    function answerStart(start) {
      const resume = start.resume;
      let session = resume && sessions.get(resume.session);
      if (resume && !session) return wire(link.down, { close: 4410 });
      if (!session) {
        session = newSession(`s${sessions.size + over.length + 1}`, outbox.ring.committed);
        sessions.set(session.name, session);
      }
      link.session = session;
      wire(link.down, { type: "started", session: session.name, token: "t", resume_from: session.heard.length, demo: true });
      for (const final of session.finals.filter((f) => f.number > (resume?.after ?? 0))) wire(link.down, final);
    }

    function commit(session) {
      if (random() < 0.7) return;
      session.committed += Math.floor(random() * (session.heard.length - session.committed + 1));
      const number = session.finals.length + 1;
      session.finals.push({ type: "final", number, utterance: number, start: 0, end: 1, text: "x" });
      wire(link.down, session.finals.at(-1));
      if (random() < 0.1) wire(link.down, session.finals[0]); // a repeat
      wire(link.down, { type: "ack", received: session.heard.length, committed: session.committed });
    }

    function gateway() {
      for (const data of arrived(link.up)) {
        const { session } = link;
        if (data.type === "start") answerStart(data);
        else if (data.type === "ping") wire(link.down, { type: "pong" });
        else if (data.type === "gap") session.heard.push(...Array(data.samples).fill("gap"));
        else if (data.type === "stop") {
          session.committed = session.heard.length;
          wire(link.down, { type: "stopped" });
        } else session.heard.push(...data);
      }
      if (!link?.session) return;
      if (now % 800 === 0) wire(link.down, { type: "ack", received: link.session.heard.length, committed: link.session.committed });
      if (now % 400 === 0) commit(link.session);
    }

    /** The gateway dies. With a journal it knows its sessions as far as they are committed. */
    function restart(journal) {
      totals.restarts += 1;
      for (const session of sessions.values()) session.heard.length = session.committed;
      if (!journal) {
        over.push(...sessions.values());
        sessions.clear();
      }
      gateUntil = now + random() * 8000;
      if (link) close(1006);
    }

    function fault() {
      const dice = random();
      if (dice < 0.006 && link) (totals.cuts += 1), close(1006);
      else if (dice < 0.008 && link) (totals.dead += 1), (link.dead = true);
      else if (dice < 0.0095) restart(true);
      else if (dice < 0.01) restart(false);
      else if (dice < 0.0102) gateUntil = now + random() * 1.4 * RING_S * 1000; // sometimes longer than the ring
    }

    function page(faulty) {
      if (outbox.stoppedAt === null) {
        outbox.push(Int16Array.from({ length: CHUNK }, (_, i) => (pushed + i) % 30_000));
        pushed += CHUNK;
        overflowed ||= pushed - outbox.ring.committed > RING_S * RATE;
      }
      if (link === null && now >= retryAt) {
        if (now < gateUntil) return outbox.connecting(now), close(1006);
        outbox.connecting(now);
        link = { up: [], down: [], session: null, dead: false };
        wire(link.up, outbox.opened(now));
      }
      for (const data of link && !link.dead ? arrived(link.down) : []) {
        if (data.close) return close(data.close);
        for (const event of outbox.receive(data, now)) {
          if (event.type !== "final") continue;
          const name = outbox.session.session;
          told.set(name, [...(told.get(name) ?? []), event.number]);
        }
      }
      for (let next; link && (next = outbox.take(now, 0)) !== null; ) {
        wire(link.up, next);
      }
      const due = outbox.check(now);
      if (due === "ping") wire(link.up, { type: "ping" });
      if (due === "dead") close(1006);
      if (due === "finish") stopped = true;
      if (link && now < gateUntil) close(1006);
      if (faulty) fault();
    }

    for (; now < 90_000; now += STEP_MS) {
      page(true);
      if (link && !link.dead) gateway();
    }
    outbox.stop(now);
    gateUntil = 0;
    for (; !stopped && now < 200_000; now += STEP_MS) {
      page(false);
      if (link && !link.dead) gateway();
    }

    const found = Array(pushed).fill("nothing");
    let wrong = stopped && outbox.done ? "" : "never finished";
    for (const { base, heard } of [...over, ...sessions.values()]) {
      heard.forEach((sample, i) => {
        if (sample === "gap") found[base + i] = found[base + i] === "nothing" ? "gap" : found[base + i];
        else if (sample === (base + i) % 30_000) found[base + i] = "heard";
        else wrong ||= `sample ${base + i} is ${sample}`;
      });
    }
    const holes = found.filter((f) => f === "nothing").length;
    const gaps = found.filter((f) => f === "gap").length;
    if (holes) wrong ||= `${holes} samples neither heard nor declared`;
    if (gaps > outbox.ring.lostSamples) wrong ||= `${gaps} samples lost, told ${outbox.ring.lostSamples}`;
    if (gaps && !overflowed) wrong ||= "a gap although the ring had room";
    for (const [name, numbers] of told) {
      if (numbers.some((n, i) => n !== i + 1)) wrong ||= `finals of ${name}: ${numbers}`;
    }
    totals.gaps += gaps > 0;
    totals.sessions += over.length + sessions.size;
    totals.finals += [...told.values()].flat().length;
    return wrong && { seed, wrong, pushed, holes, gaps };
  }

  const totals = { runs, cuts: 0, dead: 0, restarts: 0, sessions: 0, gaps: 0, finals: 0 };
  for (let seed = 1; seed <= runs; seed += 1) {
    const wrong = run(seed, totals);
    if (wrong) return wrong;
  }
  return totals;
}
