// shell: what was understood, as the microphone page lists it: the last captions, gaps, and what is being said.

import { displayPartial, displayText, languageOf } from "./captions.js";
import { clockTime } from "./i18n.js";
import { byId, element } from "./page.js";
import { gapNode } from "./viewer-parts.js";

const KEPT_CAPTIONS = 50;
const KEPT_PARTIALS = 3;

/** Returns {final(final), gap(seconds), partial(partial), endPartials()}. */
export function ownCaptions(t) {
  let partials = [];

  function final({ utterance, text, language, agoS }) {
    showPartials(partials.filter((p) => p.utterance !== utterance));
    const clean = displayText(text);
    const lang = clean ? languageOf(clean, language) : false;
    const said = element("p", { class: "text", dir: "auto", lang }, clean || t("unclear"));
    const at = element("time", { class: "at" }, clockTime(Date.now() - agoS * 1000));
    append(element("li", { class: clean ? "caption" : "unclear" }, at, said));
  }

  function gap(seconds) {
    append(gapNode({ gap_s: seconds, at: Date.now() / 1000 }, t));
  }

  function append(row) {
    byId("captions").append(row);
    while (byId("captions").children.length > KEPT_CAPTIONS) byId("captions").firstChild.remove();
    toEnd();
  }

  function partial(event) {
    showPartials([...partials.filter((p) => p.utterance !== event.utterance), event].slice(-KEPT_PARTIALS));
  }

  function showPartials(now) {
    partials = now;
    byId("partial").replaceChildren(...partials.map((p) => partialNode(displayPartial(p))));
    toEnd();
  }

  function partialNode({ stable, tentative }) {
    return element(
      "p",
      { class: "text", dir: "auto", lang: languageOf(stable + tentative, null), title: t("provisional") },
      element("span", { class: "stable" }, stable),
      element("span", { class: "tentative" }, tentative),
    );
  }

  function toEnd() {
    byId("scroller").scrollTop = byId("scroller").scrollHeight;
  }

  return { final, gap, partial, endPartials: () => showPartials([]) };
}
