// core: every word the pages say, in English and Traditional Chinese, and how times are written.

import { EN } from "./text-en.js";
import { ZH } from "./text-zh.js";

export const TEXTS = { en: EN, "zh-Hant": ZH };

/** `stored` if it is one of ours, else the first of the browser's languages that is, else English. */
export function chooseLanguage(stored, preferred) {
  if (stored in TEXTS) return stored;
  for (const language of preferred) {
    if (/^zh\b/i.test(language)) return "zh-Hant";
    if (/^en\b/i.test(language)) return "en";
  }
  return "en";
}

export function otherLanguage(language) {
  return language === "en" ? "zh-Hant" : "en";
}

/** The text for `key` with its {names} filled in. Throws on an unknown key: a page must not show one. */
export function text(language, key, values = {}) {
  const template = TEXTS[language][key];
  if (template === undefined) throw new Error(`no text ${key}`);
  return template.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** 14:05:09; wards write 24 hours in both languages. */
export function clockTime(unixMs) {
  return new Date(unixMs).toLocaleTimeString("en-GB");
}

/** Fri, 3 May · 5月3日 星期五 */
export function calendarDay(language, unixMs) {
  const locale = language === "en" ? "en-GB" : "zh-TW";
  return new Date(unixMs).toLocaleDateString(locale, { weekday: "short", day: "numeric", month: "short" });
}

/** A time of today as a time; an earlier one with its day. */
export function momentText(language, unixMs, now) {
  const today = new Date(unixMs).toDateString() === new Date(now).toDateString();
  return today ? clockTime(unixMs) : `${calendarDay(language, unixMs)} ${clockTime(unixMs)}`;
}

export function agoText(language, seconds) {
  if (seconds < 5) return text(language, "ago_now");
  if (seconds < 60) return text(language, "ago_s", { n: Math.floor(seconds / 5) * 5 });
  if (seconds < 3600) return text(language, "ago_min", { n: Math.floor(seconds / 60) });
  if (seconds < 86_400) return text(language, "ago_h", { n: Math.floor(seconds / 3600) });
  return text(language, "ago_d", { n: Math.floor(seconds / 86_400) });
}
