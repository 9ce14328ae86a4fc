// Keeps <main> as the server sees it now, over one event stream, and says when it cannot.

import { morph } from "/static/morph.js";
import { refusal } from "/static/refusal.js";

const main = document.querySelector("main");
const state = document.querySelector("#connection");
const banner = document.querySelector("#lost");
const SILENT_MS = 6000;
let source = null, lastMessage = Date.now(), wait = 1000, timer = null;

function show(status) {
  state.dataset.state = status;
  state.querySelector("span").textContent = { live: "live", lost: "not connected", paused: "paused" }[status];
  banner.hidden = status !== "lost";
  main.classList.toggle("stale", status === "lost");
}

function lost() {
  const url = source?.url;
  source?.close();
  source = null;
  show("lost");
  if (url) refusal(url).then((text) => (banner.querySelector("em").textContent = text));
  clearTimeout(timer);
  timer = setTimeout(open, wait);
  wait = Math.min(wait * 1.6, 10000);
}

function onMessage() {
  lastMessage = Date.now();
  wait = 1000;
  show("live");
}

function open() {
  if (!main.dataset.live || document.hidden) return;
  clearTimeout(timer);
  source?.close();
  const url = new URL(main.dataset.live, location.href);
  source = new EventSource(url);
  source.addEventListener("main", (event) => {
    onMessage();
    morph(main, event.data);
  });
  source.addEventListener("beat", onMessage);
  source.addEventListener("leave", () => location.reload());
  source.onerror = lost;
}

setInterval(() => {
  if (source && Date.now() - lastMessage > SILENT_MS) lost();
  if (!banner.hidden) banner.querySelector("time").textContent = `${Math.round((Date.now() - lastMessage) / 1000)} s`;
}, 1000);

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    source?.close();
    source = null;
    clearTimeout(timer);
    show("paused");
  } else {
    lastMessage = Date.now();
    open();
  }
});
banner.querySelector("button").addEventListener("click", open);
open();
