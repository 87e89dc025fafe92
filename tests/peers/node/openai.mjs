// node openai.mjs https://HOST:PORT clip.wav: prints the transcript, as OpenAI's SDK gives it.
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import { paced, pcm } from "./pcm.mjs";

const [address, path] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: process.env.CARE_VOICE_KEY ?? "none" });
const realtime = new OpenAIRealtimeWS({ model: "whisper-1" }, client);
const clip = pcm(path);

realtime.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
realtime.on("conversation.item.input_audio_transcription.completed", (event) => {
  console.log(event.transcript);
  realtime.close();
});
realtime.on("session.created", async () => {
  realtime.send({
    type: "session.update",
    session: {
      type: "transcription",
      audio: {
        input: { format: { type: "audio/pcm", rate: clip.rate }, transcription: { model: "whisper-1", language: "en" } },
      },
    },
  });
  for await (const chunk of paced(clip)) {
    if (realtime.socket.readyState !== 1) break;
    realtime.send({ type: "input_audio_buffer.append", audio: chunk.toString("base64") });
  }
});
