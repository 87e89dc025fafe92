// Runs before the first paint, so that a dark ward never sees a white flash: dark or light as stored, else as the
// system prefers. A classic script, because modules run only after the page is parsed.
(() => {
  let stored = null;
  try {
    stored = JSON.parse(localStorage.getItem("care-voice.theme"));
  } catch {
    // Storage may be forbidden or hold nonsense: then the system decides.
  }
  const prefersLight = matchMedia("(prefers-color-scheme: light)").matches;
  document.documentElement.dataset.theme = stored === "dark" || stored === "light" ? stored : prefersLight ? "light" : "dark";
})();
