// <river-tail spec="/tail/…">: records as they are committed, newest first; each opens to all of it.

import { refusal } from "/static/refusal.js";

const SHOWN_MAX = 200, AGAIN_MS = 5000;

function cell(name, className, text) {
  const node = document.createElement(name);
  node.className = className;
  node.textContent = text;
  return node;
}

class RiverTail extends HTMLElement {
  static observedAttributes = ["spec"];

  connectedCallback() {
    this.list = cell("div", "tail-rows", "");
    this.list.tabIndex = 0;
    this.list.setAttribute("aria-label", "Records, newest first");
    this.state = cell("p", "soft small", "waiting for records");
    this.pause = cell("button", "button", "Pause");
    this.pause.type = "button";
    this.pause.addEventListener("click", () => (this.source ? this.stop() : this.start()));
    const head = cell("div", "row", "");
    head.append(this.pause, this.state);
    this.replaceChildren(head, this.list);
    this.start();
  }

  disconnectedCallback() {
    this.source?.close();
  }

  attributeChangedCallback() {
    if (!this.list) return;
    this.list.replaceChildren();
    this.start();
  }

  start() {
    this.source?.close();
    this.source = new EventSource(this.getAttribute("spec"));
    this.pause.textContent = "Pause";
    this.source.addEventListener("rows", (event) => this.take(JSON.parse(event.data)));
    this.source.addEventListener("failed", (event) => {
      this.stop();
      this.state.textContent = event.data;
    });
    this.source.onerror = () => this.lost(this.source);
  }

  async lost(source) {
    this.state.textContent = (await refusal(source.url)) || "not connected; reconnecting";
    if (source.readyState === EventSource.CLOSED && source === this.source)
      setTimeout(() => source === this.source && this.isConnected && this.start(), AGAIN_MS);
  }

  stop() {
    this.source?.close();
    this.source = null;
    this.pause.textContent = "Resume";
    this.state.textContent = "paused";
  }

  take({ rows, leftOut }) {
    for (const row of rows) this.list.prepend(this.row(row));
    while (this.list.childElementCount > SHOWN_MAX) this.list.lastElementChild.remove();
    const note = leftOut ? `; ${leftOut.toLocaleString("en")} more were not shown` : "";
    this.state.textContent = this.list.childElementCount ? `following${note}` : "no record matches the filter so far";
  }

  row(row) {
    const details = document.createElement("details"), summary = cell("summary", "", "");
    summary.append(cell("time", "", row.time.slice(11, 23)), cell("span", "position", `${row.partition}/${row.offset}`),
      cell("span", "key", row.key ?? "–"), cell("span", "value", row.value));
    details.append(summary);
    details.addEventListener("toggle", () => {
      if (details.childElementCount > 1) return;
      let text = row.value;
      try { text = JSON.stringify(JSON.parse(row.value), null, 2); } catch { /* it is no JSON: as it came */ }
      const headers = Object.entries(row.headers).map(([name, value]) => `${name}: ${value}`).join("\n");
      details.append(cell("pre", "sunk", `${headers}\n\n${text}`));
    });
    return details;
  }
}

customElements.define("river-tail", RiverTail);
