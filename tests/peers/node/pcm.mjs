// A 16-bit mono WAV file as its rate and its samples, with a pause of two seconds at the end.
import { readFileSync } from "node:fs";

export function pcm(path) {
  const file = readFileSync(path);
  const rate = file.readUInt32LE(24);
  return { rate, samples: Buffer.concat([file.subarray(44), Buffer.alloc(4 * rate)]) };
}

export async function* paced({ rate, samples }) {
  const chunk = rate / 10; // 50 ms
  for (let at = 0; at < samples.length; at += chunk) {
    yield samples.subarray(at, at + chunk);
    await new Promise((done) => setTimeout(done, 25));
  }
}
