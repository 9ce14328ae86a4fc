// <river-chart spec="…">: one chart as SVG, so that style, theme and contrast are the style sheet's.
// Drag to zoom, double-click or Esc to leave it; arrow keys read values; what is seen is in the URL.

import { Drawing } from "/static/drawing.js";
import { exact } from "/static/scale.js";

function make(name, className, text = "") {
  const node = document.createElement(name);
  node.className = className;
  node.textContent = text;
  return node;
}

function button(className, text, act) {
  const node = make("button", className, text);
  node.type = "button";
  node.addEventListener("click", act);
  return node;
}

function remember(name, value) {
  const url = new URL(location.href);
  if (value) url.searchParams.set(name, value);
  else url.searchParams.delete(name);
  history.replaceState(null, "", url);
}

const parameter = (name) => new URL(location.href).searchParams.get(name);

class RiverChart extends HTMLElement {
  static observedAttributes = ["spec"];
  at = null;

  connectedCallback() {
    this.from = this.picture = null;
    this.tabIndex = 0;
    this.setAttribute("role", "figure");
    this.sizes = new ResizeObserver(() => this.render());
    this.listener = (event) => this.hear(event.detail);
    document.addEventListener("chart", this.listener);
    if (!this.listening) this.listen();
    this.read();
    this.sizes.observe(this);
  }

  disconnectedCallback() {
    this.sizes.disconnect();
    document.removeEventListener("chart", this.listener);
  }

  attributeChangedCallback() {
    if (this.sizes) this.read();
  }

  read() {
    this.spec = JSON.parse(this.getAttribute("spec"));
    const { group, id, title } = this.spec;
    this.setAttribute("aria-label", `${title}. Arrow keys read values, plus and minus zoom.`);
    const zoom = parameter(`zoom.${group}`)?.split("~").map(Number);
    this.zoom = zoom?.length === 2 && zoom[0] < zoom[1] ? zoom : null;
    this.off = new Set(parameter(`hide.${id}`)?.split("~") ?? []);
    this.render();
  }

  render() {
    if (!this.clientWidth || !this.spec) return;
    this.picture = new Drawing(this.spec, { width: this.clientWidth, zoom: this.zoom, hidden: this.off });
    this.tip = make("output", "tip");
    this.tip.hidden = true;
    this.replaceChildren(this.legend(), this.picture.svg, this.tip);
    // The x that is read stays the same when windows are added or removed.
    if (this.at !== null) this.point(this.picture.nearest(this.readAt), this.own);
  }

  legend() {
    const legend = make("div", "legend");
    for (const { name, tone, dashed } of this.spec.series) {
      const key = button(`key tone-${tone}${dashed ? " dashed" : ""}`, name, () => this.toggle(name));
      key.setAttribute("aria-pressed", String(!this.off.has(name)));
      legend.append(key);
    }
    if (this.spec.unit) legend.append(make("span", "unit", this.spec.unit));
    const back = button("back", "whole range", () => this.go(null));
    back.hidden = !this.zoom;
    legend.append(back);
    return legend;
  }

  // Input.

  listen() {
    this.listening = true;
    const at = (event) => event.clientX - this.picture.svg.getBoundingClientRect().left;
    this.addEventListener("pointermove", (event) => {
      if (!this.picture || (event.target.closest(".legend") && this.from === null)) return;
      if (this.from !== null) this.picture.select(this.from, at(event));
      this.hover(this.picture.nearest(this.picture.X.invert(at(event))));
    });
    this.addEventListener("pointerleave", () => this.hover(null));
    this.addEventListener("pointerdown", (event) => {
      if (event.target.closest(".legend") || event.pointerType === "touch" || this.picture.categorical) return;
      this.from = at(event);
      this.setPointerCapture(event.pointerId);
    });
    this.addEventListener("pointerup", (event) => {
      const from = this.from, to = at(event), { X } = this.picture;
      this.from = null;
      if (from === null || Math.abs(to - from) < 8) this.picture.picked?.remove();
      else this.go([X.invert(Math.min(from, to)), X.invert(Math.max(from, to))]);
    });
    this.addEventListener("dblclick", () => this.go(null));
    this.addEventListener("blur", () => this.hover(null));
    this.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const last = this.picture.xs.length - 1, steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (event.key in steps) {
      const at = this.at ?? (event.key === "ArrowLeft" ? last + 1 : -1);
      this.hover(Math.min(Math.max(at + steps[event.key], 0), last));
    } else if (event.key === "Escape" || event.key === "0") this.go(null);
    else if ("+-=".includes(event.key) && !this.picture.categorical) {
      const [low, high] = this.picture.range(), middle = this.at === null ? (low + high) / 2 : this.picture.xs[this.at];
      const half = ((high - low) / 2) * (event.key === "-" ? 2 : 0.5);
      this.go([middle - half, middle + half]);
    } else return;
    event.preventDefault();
  }

  hover(n) {
    this.tell({ hover: n === null ? null : this.picture.xs[n] });
  }

  go(zoom) {
    if (zoom && this.spec.scale === "log" && zoom[0] <= 0) return;
    remember(`zoom.${this.spec.group}`, zoom ? zoom.map((value) => +value.toPrecision(12)).join("~") : null);
    this.tell({ zoom });
  }

  tell(detail) {
    document.dispatchEvent(new CustomEvent("chart", { detail: { group: this.spec.group, from: this, ...detail } }));
  }

  hear({ group, zoom, hover, from }) {
    if (!this.picture || group !== this.spec.group) return;
    if (zoom !== undefined) {
      this.zoom = zoom;
      this.render();
    } else this.point(hover === null ? null : this.picture.nearest(hover), from === this);
  }

  toggle(name) {
    if (this.off.has(name)) this.off.delete(name);
    else this.off.add(name);
    remember(`hide.${this.spec.id}`, [...this.off].join("~"));
    this.render();
  }

  point(n, own) {
    this.at = n;
    this.readAt = n === null ? null : this.picture.xs[n];
    this.own = own;
    const seen = this.picture.point(n);
    this.tip.hidden = !seen || !own;
    if (seen && own) this.write(n);
  }

  write(n) {
    const { unit, marks } = this.spec, { xs, X, box } = this.picture, x = X(xs[n]);
    const rows = [make("strong", "", this.picture.label(n))];
    for (const series of this.picture.visible()) {
      if (series.y[n] === null || series.y[n] === undefined) continue;
      const row = make("span", `tone-${series.tone}`, `${series.name} `), low = series.low?.[n], high = series.high?.[n];
      row.append(make("b", "", `${exact(series.y[n])}${unit ? " " + unit : ""}`));
      if (low !== null && low !== undefined) row.append(` ${exact(low)} to ${exact(high)}`);
      rows.push(row);
    }
    for (const { x: at, text, tone } of marks)
      if (Math.abs(X(at) - x) < 7) rows.push(make("em", `tone-${tone}`, text));
    this.tip.replaceChildren(...rows);
    const width = this.tip.offsetWidth, right = x + 12 + width <= box.width;
    this.tip.style.left = `${Math.max(right ? x + 12 : x - 12 - width, 0)}px`;
  }
}

customElements.define("river-chart", RiverChart);
