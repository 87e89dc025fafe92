// shell: text size and scrolling on the caption page. The page follows the newest caption until the reader scrolls
// up; then it stays where it is, counts what is new, and offers the way back.

import { byId, setText, settings } from "./page.js";

const SIZES_PX = [18, 22, 26, 30, 36, 44, 54, 66, 80];
const NEAR_END_PX = 60;

export function startReader(t) {
  const scroller = byId("scroller");
  let following = true;
  let unread = 0;
  let size = settings.get("size", innerWidth < 600 ? 2 : innerWidth < 1600 ? 4 : 5);

  function show() {
    byId("newest").hidden = following;
    const key = unread === 0 ? "newest" : unread === 1 ? "newest_count_one" : "newest_count";
    setText(byId("newest-text"), t(key, { n: unread }));
  }

  function toEnd() {
    scroller.scrollTop = scroller.scrollHeight;
  }

  function follow() {
    following = true;
    unread = 0;
    toEnd();
    show();
  }

  function setSize(wanted) {
    size = Math.min(Math.max(wanted, 0), SIZES_PX.length - 1);
    document.documentElement.style.setProperty("--caption-size", `${SIZES_PX[size]}px`);
    if (following) toEnd();
  }

  function resize(step) {
    setSize(size + step);
    settings.set("size", size);
  }

  /** Runs `change` (which returns the number of captions it added) and keeps the reader's place. */
  function keepPlace(change) {
    const added = change();
    if (following) toEnd();
    else unread += added;
    show();
  }

  scroller.addEventListener("scroll", () => {
    const left = scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop;
    if (left < NEAR_END_PX === following) return;
    following = !following;
    if (following) unread = 0;
    show();
  });
  new ResizeObserver(() => following && toEnd()).observe(scroller);
  byId("newest").addEventListener("click", () => {
    follow();
    scroller.focus();
  });
  byId("smaller").addEventListener("click", () => resize(-1));
  byId("larger").addEventListener("click", () => resize(1));
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea")) return;
    if (event.key === "+" || event.key === "=") resize(1);
    if (event.key === "-" || event.key === "_") resize(-1);
    if (event.key === "End") {
      event.preventDefault();
      follow();
    }
  });
  setSize(size);
  return { show, keepPlace };
}
