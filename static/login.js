// core: where a login leads, and what to say when it fails.

/** A path of this site, as the gateway put it into ?next=; anything else becomes "/". */
export function safeNext(next) {
  return /^\/(?![/\\])[^\\\u0000-\u0020]*$/.test(next ?? "") ? next : "/";
}

/** Where to go: the page that was wanted, else the first one that this role is for. */
export function landing(who, next) {
  const wanted = safeNext(next);
  if (wanted !== "/" || who.role === "admin") return wanted;
  const only = who.beds.length === 1 && !/[*?[]/.test(who.beds[0]) ? who.beds[0] : null;
  if (who.role === "speaker") return only ? `/microphone?bed=${encodeURIComponent(only)}` : "/microphone";
  return only ? `/beds/${encodeURIComponent(only)}` : "/";
}

/** The gateway's error code -> the key of the text that says what to do. */
export function failureText(code) {
  const known = ["unknown_key", "revoked_key", "expired_key", "too_many_logins", "foreign_origin"];
  return known.includes(code) ? `login_${code}` : "login_failed";
}
