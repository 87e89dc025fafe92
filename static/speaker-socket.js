// shell: the speaker's WebSocket: start, audio, reconnect, stop. Each connection is a new session with a new `start`;
// sound that waits for it is held in the outbox.

import { backoffSeconds } from "./captions.js";
import { closeMeaning } from "./outbox.js";

const SILENT_GATEWAY_MS = 8000; // it acknowledges about once a second
const STOP_TIMEOUT_MS = 4000;
const STABLE_MS = 10_000;

/** `start` is the start message; `tell(event)` gets the gateway's messages and {type: connected | reconnecting |
 *  refused | superseded | finished}. Returns {push(samples), stop()}. */
export function speak(start, outbox, tell) {
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/stream`;
  const highWaterBytes = start.audio.sample_rate * 2; // one second
  let socket = null;
  let ready = false;
  let stopping = false;
  let done = false;
  let attempt = 0;
  let heardAt = 0;
  let readyAt = 0;
  let lastError = null;

  function connect() {
    if (done) return;
    const mine = new WebSocket(url, "care-voice.v1");
    mine.binaryType = "arraybuffer";
    socket = mine;
    attempt += 1;
    heardAt = Date.now();
    mine.onopen = () => mine === socket && mine.send(JSON.stringify(start));
    mine.onmessage = ({ data }) => mine === socket && receive(JSON.parse(data));
    mine.onclose = ({ code, reason }) => mine === socket && closed(code, reason);
  }

  function receive(message) {
    heardAt = Date.now();
    if (message.type === "started") begin();
    if (message.type === "error") lastError = message;
    tell(message);
    if (message.type === "stopped") finish({ type: "finished" });
  }

  function begin() {
    ready = true;
    readyAt = Date.now();
    lastError = null;
    outbox.newStream();
    tell({ type: "connected" });
    pump();
    if (stopping) sendStop();
  }

  /** Never more than a second in the browser's own buffer, which nobody bounds. */
  function pump() {
    while (ready && socket.bufferedAmount < highWaterBytes) {
      const next = outbox.take();
      if (next === null) return;
      socket.send(next instanceof Int16Array ? next : JSON.stringify(next));
    }
  }

  function closed(code, reason) {
    if (ready && Date.now() - readyAt > STABLE_MS) attempt = 0;
    ready = false;
    socket = null;
    const meaning = closeMeaning(code);
    if (done) return;
    if (stopping) finish({ type: "finished" });
    else if (meaning === "retry") retry();
    else finish({ type: meaning, code: lastError?.code ?? String(code), message: lastError?.message ?? reason });
  }

  function retry() {
    tell({ type: "reconnecting" });
    setTimeout(connect, 1000 * backoffSeconds(Math.max(attempt, 1), Math.random()));
  }

  function finish(event) {
    if (done) return;
    done = true;
    clearInterval(watchdog);
    socket?.close(1000);
    tell(event);
  }

  function sendStop() {
    ready = false;
    socket.send(JSON.stringify({ type: "stop" }));
  }

  const watchdog = setInterval(() => {
    if (socket === null || Date.now() - heardAt < SILENT_GATEWAY_MS) return;
    const dead = socket;
    closed(1006, "");
    dead.close();
  }, 1000);

  connect();
  return {
    push(samples) {
      if (stopping) return;
      outbox.push(samples);
      pump();
    },
    stop() {
      stopping = true;
      if (ready) {
        pump();
        sendStop();
      }
      setTimeout(() => finish({ type: "finished" }), ready || socket ? STOP_TIMEOUT_MS : 0);
    },
  };
}
