// shell: the microphone, as chunks of mono 16-bit samples at the device's own rate.
//
// The AudioContext is not forced to 16 kHz: Firefox refuses to connect a microphone of another rate to it, and
// phones then record silence.

const HIGHEST_HZ = 48_000; // what the protocol accepts

const CONSTRAINTS = {
  audio: { channelCount: { ideal: 1 }, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
};

/** Asks for the microphone. `onChunk({samples, peak, rms, atMs})`; `onPause(paused)`; `onLost()` when it is unplugged.
 *  Resolves to {sampleRate, resume(), close()}; throws what getUserMedia throws. */
export async function openRecorder({ onChunk, onPause, onLost }) {
  const media = await navigator.mediaDevices.getUserMedia(CONSTRAINTS);
  let context = null;
  const close = () => {
    for (const track of media.getTracks()) track.stop();
    if (context && context.state !== "closed") context.close();
  };
  try {
    context = new AudioContext({ latencyHint: "interactive" });
    if (context.sampleRate > HIGHEST_HZ) {
      await context.close();
      context = new AudioContext({ latencyHint: "interactive", sampleRate: HIGHEST_HZ });
    }
    await context.audioWorklet.addModule("/static/recorder-worklet.js");
    const recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
    recorder.port.onmessage = ({ data }) => onChunk(data);
    context.createMediaStreamSource(media).connect(recorder);
    await context.resume();
  } catch (error) {
    close();
    throw error;
  }
  context.onstatechange = () => context.state !== "closed" && onPause(context.state !== "running");
  for (const track of media.getAudioTracks()) track.onended = onLost;
  return { sampleRate: context.sampleRate, resume: () => context.resume(), close };
}
