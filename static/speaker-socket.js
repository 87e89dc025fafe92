// shell: the speaker's WebSocket. Decides nothing: outbox.js does; this file connects, sends and waits as it says.

import { may, whoami } from "./access.js";

const TICK_MS = 100;
const LOGIN_POLL_MS = 3000;

/** Streams what is pushed until it is stopped or refused. `tell(event)`: the gateway's partials, finals and notices,
 *  and {type: connected | reconnecting | gap | login | forbidden | superseded | refused | finished}.
 *  Returns {push(samples), skip(seconds), stop(), abandon()}. */
export function speak(outbox, tell) {
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/stream`;
  let socket = null;
  let timer = 0;
  let over = false;

  function connect() {
    clearTimeout(timer);
    outbox.connecting(performance.now());
    const mine = new WebSocket(url, "care-voice.v1");
    mine.binaryType = "arraybuffer";
    socket = mine;
    // A socket that was given up may still speak; only the current one is heard.
    mine.onopen = () => mine === socket && send(outbox.opened(performance.now()));
    mine.onmessage = ({ data }) => mine === socket && receive(JSON.parse(data));
    mine.onclose = ({ code, reason }) => mine === socket && lost(code, reason);
  }

  function send(message) {
    socket.send(message instanceof Int16Array ? message : JSON.stringify(message));
  }

  function receive(message) {
    outbox.receive(message, performance.now()).forEach(tell);
    pump();
    tick();
  }

  function pump() {
    while (socket?.readyState === WebSocket.OPEN) {
      const next = outbox.take(performance.now(), socket.bufferedAmount);
      if (next === null) return;
      send(next);
      if (next.type === "gap") tell(next);
    }
  }

  function lost(code, reason) {
    socket = null;
    const verdict = outbox.closed(code, reason, performance.now(), Math.random());
    if (verdict.type === "finish") return finish({ type: "finished" });
    if (verdict.type === "login") return waitForLogin();
    if (verdict.type !== "retry") return finish(verdict);
    tell({ type: "reconnecting" });
    timer = setTimeout(verdict.opened ? connect : knock, verdict.delayMs);
  }

  /** Browsers do not tell why a connection was refused: perhaps for want of a login. */
  async function knock() {
    const who = await whoami();
    if (over || socket) return;
    if (who && !may(who, "speaker")) waitForLogin();
    else connect();
  }

  /** The sound is kept meanwhile: somebody may log in on another page of this browser. */
  function waitForLogin() {
    tell({ type: "login" });
    timer = setTimeout(knock, LOGIN_POLL_MS);
  }

  function finish(event) {
    if (over) return;
    over = true;
    clearInterval(ticker);
    clearTimeout(timer);
    removeEventListener("online", hurry);
    const last = socket;
    socket = null;
    last?.close(1000);
    tell(event);
  }

  function tick() {
    const due = outbox.check(performance.now());
    if (due === "finish") finish({ type: "finished" });
    if (due === "ping") send({ type: "ping" });
    if (due === "dead") {
      const dead = socket;
      lost(1006, "");
      dead.close();
    }
  }

  function hurry() {
    if (outbox.link === "closed" && !over) connect();
  }

  const ticker = setInterval(() => {
    pump();
    tick();
  }, TICK_MS);
  addEventListener("online", hurry);
  connect();
  return {
    push(samples) {
      outbox.push(samples);
      pump();
    },
    skip: (seconds) => outbox.skip(seconds),
    stop() {
      outbox.stop(performance.now());
      pump();
    },
    abandon: () => finish({ type: "finished" }),
  };
}
