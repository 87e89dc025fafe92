// shell: the viewers' WebSocket. Decides nothing about captions: it feeds events to captions.js, keeps a connection
// alive, and asks (`watch`) as captions.js says.

import { checkLogin } from "./access.js";
import { SILENCE_MS, backoffSeconds, initialState, mustAskAgain, reduce, watchMessage } from "./captions.js";

/** A connection that lasted so long was a good one: the next attempt comes at once. */
const STABLE_MS = 10_000;

/** Watches `beds` for ever; `show(state)` after every change. Returns dispatch(event), for the page's own events. */
export function watch(beds, keywords, show) {
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/captions`;
  let state = initialState(Date.now(), keywords);
  let socket = null;
  let triedAt = 0;
  let openedAt = 0;
  let attempt = 0;
  let timer = 0;

  function dispatch(event) {
    const before = state;
    state = reduce(state, { ...event, now: Date.now() });
    if (mustAskAgain(state) && socket?.readyState === WebSocket.OPEN) ask();
    if (state !== before) show(state);
  }

  function ask() {
    socket.send(JSON.stringify(watchMessage(state, beds)));
    state = reduce(state, { type: "asked" });
  }

  function connect() {
    clearTimeout(timer);
    const mine = new WebSocket(url, "care-voice.v1");
    socket = mine;
    triedAt = Date.now();
    attempt += 1;
    // A socket that was given up may still speak; only the current one is heard.
    mine.onopen = () => {
      if (mine !== socket) return;
      openedAt = Date.now();
      ask();
      dispatch({ type: "opened" });
    };
    mine.onmessage = ({ data }) => mine === socket && receive(data);
    mine.onclose = ({ code }) => mine === socket && closed(code);
  }

  function receive(data) {
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      return; // Not ours; the watchdog notices if nothing else comes.
    }
    dispatch(event);
  }

  /** Browsers do not tell why a connection was refused: perhaps for want of a login. */
  function closed(code) {
    if (openedAt < triedAt || code === 4401 || code === 4403) checkLogin("viewer");
    later();
  }

  function later() {
    socket = null;
    if (state.link === "live" && Date.now() - openedAt > STABLE_MS) attempt = 0;
    dispatch({ type: "closed" });
    clearTimeout(timer);
    timer = setTimeout(connect, 1000 * backoffSeconds(attempt + 1, Math.random()));
  }

  /** A socket that is open but silent is dead (a cut cable closes nothing): give it up and try another. */
  function tick() {
    dispatch({ type: "tick" });
    const silent = Date.now() - Math.max(state.heardAt, triedAt, openedAt) >= SILENCE_MS;
    if (socket === null || !silent) return;
    const dead = socket;
    later();
    dead.close();
  }

  setInterval(tick, 500);
  addEventListener("online", () => socket === null && connect());
  document.addEventListener("visibilitychange", tick);
  show(state);
  connect();
  return dispatch;
}
