// A gateway that numbers captions, a wire that loses, repeats and cuts, restarts that begin a new epoch; and the
// page's reducer at the end of it. Returns the first run in which the page does not hold what was said, or null.
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
    let journal = [];
    let asked = 0;
    let state = initialState(0, []);
    let connected = false;
    const tell = (event) => {
      state = reduce(state, { ...event, now: 0 });
      if (connected && mustAskAgain(state)) ask();
    };
    const ask = () => {
      asked += 1;
      const after = watchMessage(state, ["B"]).after.B ?? 0;
      state = reduce(state, { type: "asked" });
      const captions = journal.filter((c) => c.number > after);
      tell({ type: "snapshot", bed: "B", epoch: `e${epoch}`, state: "online", since: 1, captions, partial: null, recovered: true });
    };
    const say = (lost) => {
      const utterance = said.length + 1;
      const caption = { type: "caption", bed: "B", number: journal.length + 1, at: 1, speaker: 1, utterance, text: `t${utterance}`, suppressed: null };
      journal.push(caption);
      said.push(caption.text);
      if (connected && !lost) tell(caption);
      if (connected && random() < 0.2) tell(caption); // a repeat
    };
    for (let step = 0; step < 40; step += 1) {
      const dice = random();
      if (dice < 0.55) say(random() < 0.1);
      else if (dice < 0.7 && connected) (connected = false), tell({ type: "closed" });
      else if (dice < 0.9 && !connected) (connected = true), tell({ type: "opened" }), ask();
      else if (!connected && state.beds.B?.epoch === `e${epoch}` && state.beds.B.number === journal.length) (epoch += 1), (journal = []); // restart: nothing unseen is lost
    }
    if (!connected) (connected = true), ask();
    say(false);
    const shown = state.beds.B.captions.filter((c) => c.kind === "caption").map((c) => c.text);
    const right = JSON.stringify(shown) === JSON.stringify(said) && asked < 80;
    return right ? null : { seed, said, shown, asked };
  }

  for (let seed = 1; seed <= runs; seed += 1) {
    const wrong = run(seed);
    if (wrong) return wrong;
  }
  return null;
}
