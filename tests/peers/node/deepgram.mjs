// node deepgram.mjs https://HOST:PORT clip.wav: prints the final transcripts, as Deepgram's SDK gives them.
import { DeepgramClient } from "@deepgram/sdk";
import { paced, pcm } from "./pcm.mjs";

const [address, path] = process.argv.slice(2);
const wss = address.replace("https", "wss");
const client = new DeepgramClient({
  apiKey: process.env.CARE_VOICE_KEY ?? "none",
  environment: { base: address, production: wss, agent: wss, agentRest: address },
});
const clip = pcm(path);
const connection = await client.listen.v1.connect({
  model: "nova-3",
  language: "en",
  encoding: "linear16",
  sample_rate: clip.rate,
  reconnectAttempts: 0,
});
connection.on("message", (message) => {
  if (message.type === "Results" && message.is_final && message.channel.alternatives[0].transcript) {
    console.log(message.channel.alternatives[0].transcript);
  }
});
connection.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
connection.on("close", (event) => process.exit(event.code === 1000 ? 0 : 1));
connection.connect();
await connection.waitForOpen();
for await (const chunk of paced(clip)) connection.sendMedia(chunk);
connection.sendCloseStream({ type: "CloseStream" });
