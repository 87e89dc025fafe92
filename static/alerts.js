// core: words that may mean danger, in Chinese and English, and where they stand in a text.
//
// Every mention counts, a negated one ("no pain", 不痛) too: a false alarm costs a glance, a missed one may cost
// more. Chinese words match anywhere; words in scripts with spaces match whole words only.

export const DEFAULT_KEYWORDS = [
  "救命", "救我", "痛", "疼", "不能呼吸", "無法呼吸", "无法呼吸", "喘", "吸不到氣", "跌倒", "摔倒",
  "流血", "胸悶", "胸闷", "頭暈", "头晕", "叫護士", "叫护士",
  "help", "emergency", "pain", "painful", "hurt", "hurts", "hurting",
  "can't breathe", "cannot breathe", "can not breathe", "short of breath", "choking",
  "fall", "fell", "falling", "fallen", "bleeding", "chest pain", "dizzy", "call the nurse",
];

/** Non-overlapping matches in order: [{start, end, keyword}], UTF-16 positions. The longest keyword wins. */
export function findAlerts(text, keywords) {
  const folded = fold(text);
  const found = keywords.flatMap((keyword) => occurrences(folded, keyword));
  found.sort((a, b) => a.start - b.start || b.end - a.end);
  const kept = [];
  for (const match of found) if (match.start >= (kept.at(-1)?.end ?? 0)) kept.push(match);
  return kept;
}

function occurrences(folded, keyword) {
  const wanted = fold(keyword.trim());
  const found = [];
  if (wanted === "") return found;
  for (let at = folded.indexOf(wanted); at >= 0; at = folded.indexOf(wanted, at + wanted.length)) {
    const end = at + wanted.length;
    if (isWhole(folded, at, end)) found.push({ start: at, end, keyword: keyword.trim() });
  }
  return found;
}

function isWhole(text, start, end) {
  return !(joins(text[start - 1], text[start]) || joins(text[end - 1], text[end]));
}

/** Do two neighbours belong to one word of a script with spaces? */
function joins(left = "", right = "") {
  const letter = /^[\p{Script=Latin}\p{Script=Cyrillic}\p{Script=Greek}\p{N}\p{M}]$/u;
  return letter.test(left) && letter.test(right);
}

/** Lower case, plain apostrophes and half-width letters, character by character so that positions stay. */
function fold(text) {
  return Array.from({ length: text.length }, (_, i) => {
    const plain = text[i].replace(/[’‘ʼ＇]/, "'").replace(/[\s\u3000]/, " ").normalize("NFKC").toLowerCase();
    return plain.length === 1 ? plain : text[i];
  }).join("");
}

/** The user's list as typed: one a line, or separated by commas; without repeats. At most 200. */
export function parseKeywords(typed) {
  const words = typed.split(/[\n,，、;；]/).map((word) => word.trim()).filter(Boolean);
  return [...new Set(words)].slice(0, 200);
}
