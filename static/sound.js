// shell: the alert tone. Off until the user turns it on, because a browser plays sound only after a click, and
// because an unexpected alarm at night does harm.

let context = null;

/** To be called from a click or key; without it browsers stay mute. */
export async function unlockSound() {
  context ??= new AudioContext();
  if (context.state !== "running") await context.resume();
}

/** Three short rising tones, about 0.8 s, once. Returns false if the browser keeps sound locked. */
export function playAlert() {
  if (context?.state !== "running") return false;
  [660, 880, 1100].forEach((hertz, i) => tone(hertz, context.currentTime + i * 0.26));
  return true;
}

function tone(hertz, at) {
  const oscillator = new OscillatorNode(context, { type: "triangle", frequency: hertz });
  const gain = new GainNode(context, { gain: 0 });
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(0.35, at + 0.02); // no click at either end
  gain.gain.linearRampToValueAtTime(0, at + 0.22);
  oscillator.connect(gain).connect(context.destination);
  oscillator.start(at);
  oscillator.stop(at + 0.24);
}
