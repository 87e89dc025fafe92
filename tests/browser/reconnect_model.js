// A gateway that numbers captions, a wire that loses, repeats and cuts, restarts with the journal and without it (a
// new epoch, numbers from 1 or going on); and the page's reducer at the end of it. The page must hold everything that
// the gateway still had, once and in order, and a mark where something was gone for good. Returns the first run in
// which that is not so, or null.
async (runs) => {
  const { initialState, reduce, watchMessage, mustAskAgain } = await import("/static/captions.js");

  function randomOf(seed) {
    let x = seed * 2654435761 + 1;
    return () => {
      x = (Math.imul(x ^ (x >>> 15), 2246822519) + 0x9e3779b9) | 0;
      return ((x ^ (x >>> 13)) >>> 0) / 2 ** 32;
    };
  }

  function run(seed) {
    const random = randomOf(seed);
    const said = []; // everything the page must show, over all epochs
    let epoch = 1;
    let journal = []; // what the gateway has
    let last = 0; // number
    let spoken = 0;
    let gone = false; // captions that the page has not seen are lost
    let asked = 0;
    let state = initialState(0, []);
    let connected = false;
    const held = () => state.beds.B?.captions ?? [];
    const tell = (event) => {
      state = reduce(state, { ...event, now: 0 });
      if (connected && mustAskAgain(state)) ask();
    };
    const ask = () => {
      asked += 1;
      const watch = watchMessage(state, ["*"]);
      state = reduce(state, { type: "asked" });
      if (journal.length === 0) return; // of a bed that it does not know the gateway says nothing
      const known = watch.epoch === null || watch.epoch === `e${epoch}`;
      const after = known ? (watch.after.B ?? null) : "B" in watch.after ? -1 : null;
      const captions = journal.filter((c) => after === null || c.number > after);
      const first = captions[0]?.number ?? last + 1;
      const recovered = after === null || (first <= after + 1 && after <= last);
      tell({ type: "snapshot", bed: "B", epoch: `e${epoch}`, state: "online", since: 1, captions, partial: null, recovered });
    };
    const say = (lost) => {
      spoken += 1;
      last += 1;
      const gap = random() < 0.1 ? { text: "", gap_s: 2 } : { text: `t${spoken}`, gap_s: 0 };
      const caption = { type: "caption", bed: "B", number: last, at: spoken, speaker: 1, utterance: spoken, suppressed: null, ...gap };
      journal.push(caption);
      said.push(caption);
      if (connected && !lost) tell(caption);
      if (connected && random() < 0.2) tell(caption); // a repeat
    };
    const restart = (keeps, countsOn) => {
      if (connected) (connected = false), tell({ type: "closed" });
      if (keeps) return;
      epoch += 1;
      if (countsOn) return; // a corrupt file was set aside while the gateway ran: what is in memory stays
      const seen = new Set(held().map((c) => c.at));
      for (let i = said.length - 1; i >= 0; i -= 1) if (!seen.has(said[i].at)) (gone ||= seen.size > 0), said.splice(i, 1);
      (journal = []), (last = 0);
    };
    for (let step = 0; step < 60; step += 1) {
      const dice = random();
      if (dice < 0.55) say(random() < 0.1);
      else if (dice < 0.68 && connected) (connected = false), tell({ type: "closed" });
      else if (dice < 0.9 && !connected) (connected = true), tell({ type: "opened" }), ask();
      else if (dice > 0.95) restart(random() < 0.5, random() < 0.5);
    }
    if (!connected) (connected = true), ask();
    say(false);
    const marks = held().filter((c) => c.kind === "lost").length;
    const shown = held().filter((c) => c.kind !== "lost");
    const same = JSON.stringify(shown.map((c) => c.at)) === JSON.stringify(said.map((c) => c.at));
    const kinds = shown.every((c) => (c.gap_s > 0) === (c.kind === "gap"));
    const keys = new Set(held().map((c) => c.key)).size === held().length;
    const right = same && kinds && keys && (marks > 0 || !gone) && (marks === 0 || epoch > 1) && asked < 120;
    return right ? null : { seed, held: held().map((c) => c.key), said: said.map((c) => c.at), shown: shown.map((c) => c.at), kinds, keys, marks, gone, asked };
  }

  for (let seed = 1; seed <= runs; seed += 1) {
    const wrong = run(seed);
    if (wrong) return wrong;
  }
  return null;
}
