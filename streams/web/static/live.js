// Keeps <main> as the server sees it now, over one event stream, and says when it cannot.

import { morph } from "/static/morph.js";

const main = document.querySelector("main");
const state = document.querySelector("#connection");
const banner = document.querySelector("#lost");
const SILENT_MS = 6000;
let source = null, heard = Date.now(), wait = 1000, timer = null;

function say(word) {
  state.dataset.state = word;
  state.querySelector("span").textContent = { live: "live", lost: "not connected", paused: "paused" }[word];
  banner.hidden = word !== "lost";
  main.classList.toggle("stale", word === "lost");
}

function lost() {
  source?.close();
  source = null;
  say("lost");
  clearTimeout(timer);
  timer = setTimeout(open, wait);
  wait = Math.min(wait * 1.6, 10000);
}

function hear() {
  heard = Date.now();
  wait = 1000;
  say("live");
}

function open() {
  if (!main.dataset.live || document.hidden) return;
  clearTimeout(timer);
  source?.close();
  const url = new URL(main.dataset.live, location.href);
  source = new EventSource(url);
  source.addEventListener("main", (event) => {
    hear();
    morph(main, event.data);
  });
  source.addEventListener("beat", hear);
  source.addEventListener("leave", () => location.reload());
  source.onerror = lost;
}

setInterval(() => {
  if (source && Date.now() - heard > SILENT_MS) lost();
  if (!banner.hidden) banner.querySelector("time").textContent = `${Math.round((Date.now() - heard) / 1000)} s`;
}, 1000);

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    source?.close();
    source = null;
    clearTimeout(timer);
    say("paused");
  } else {
    heard = Date.now();
    open();
  }
});
banner.querySelector("button").addEventListener("click", open);
open();
