// shell: what all pages share: remembered settings, building elements, language and theme buttons, wake lock.
// Text reaches the page as text only (textContent), never as HTML.

import { chooseLanguage, otherLanguage, text } from "./i18n.js";

const PREFIX = "care-voice.";

/** Settings of this browser; where storage is forbidden they last as long as the page. */
export const settings = {
  get(key, fallback) {
    try {
      return JSON.parse(localStorage.getItem(PREFIX + key)) ?? fallback;
    } catch {
      return fallback;
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(PREFIX + key, JSON.stringify(value));
    } catch {
      // Private windows: not remembered.
    }
  },
};

export const byId = (id) => document.getElementById(id);

/** element("time", {class: "at", datetime: "..."}, "14:05"): attributes, then children; strings become text. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** One symbol of icons.svg; decoration only, words say the same. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** Sets the text only if it differs: live regions must not be told twice, selections must not be lost. */
export function setText(target, value) {
  if (target.textContent !== value) target.textContent = value;
}

/** Starts what every page has. `onLanguage` is called now and at each switch; returns t(key, values). */
export function startPage(onLanguage) {
  let language = chooseLanguage(settings.get("language", null), navigator.languages);
  const t = (key, values) => text(language, key, values);
  const show = () => {
    document.documentElement.lang = language;
    translate(t);
    onLanguage(language);
  };
  byId("language").addEventListener("click", () => {
    language = otherLanguage(language);
    settings.set("language", language);
    show();
  });
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    settings.set("theme", root.dataset.theme);
  });
  return { t, show, language: () => language };
}

/** data-text: the element's text; data-label: its accessible name and tooltip. */
function translate(t) {
  for (const node of document.querySelectorAll("[data-text]")) setText(node, t(node.dataset.text));
  for (const node of document.querySelectorAll("[data-label]")) {
    node.setAttribute("aria-label", t(node.dataset.label));
    if (node.matches("button, a")) node.title = t(node.dataset.label);
  }
  byId("language").lang = t("other_language") === "English" ? "en" : "zh-Hant";
}

/** Keeps the screen on while `wanted()`; the browser takes the lock away whenever the page is hidden. */
export function keepAwake(wanted = () => true) {
  let lock = null;
  const update = async () => {
    if (!navigator.wakeLock || document.hidden) return;
    try {
      if (wanted() && (lock === null || lock.released)) lock = await navigator.wakeLock.request("screen");
      if (!wanted() && lock) await lock.release();
    } catch {
      // A low battery or a policy refuses: the page works without.
    }
  };
  document.addEventListener("visibilitychange", update);
  update();
  return update;
}
