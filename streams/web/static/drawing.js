// A chart's picture: from its spec and what is shown to SVG. It handles no input and keeps no state.

import { ageTicks, duration, linear, logTicks, logarithmic, moment, short, ticks, timeTick, timeTicks } from "/static/scale.js";

const SVG = "http://www.w3.org/2000/svg";
export const TOP = 12;
const BOTTOM = 26, RIGHT = 14;

export function draw(name, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

export class Drawing {
  constructor(spec, { width, zoom, hidden }) {
    Object.assign(this, { spec, zoom, hidden });
    this.categorical = spec.scale === "category";
    this.ages = spec.scale === "log" && spec.x_name.startsWith("age");
    this.xs = this.categorical ? spec.x.map((_, index) => index) : spec.x;
    this.paint(width);
  }

  paint(width) {
    const { height } = this.spec;
    const xs = this.range(), ys = this.heights(xs);
    const yTicks = ticks(...ys, Math.max(3, Math.floor(height / 56)));
    const left = 12 + 7 * Math.max(...yTicks.map((tick) => short(tick).length));
    const scale = this.spec.scale === "log" ? logarithmic : linear;
    this.X = scale(...xs, left, width - RIGHT);
    this.Y = linear(...ys, height - BOTTOM, TOP);
    this.box = { left, right: width - RIGHT, bottom: height - BOTTOM, width, height };
    const clip = `clip-${this.spec.id}`;
    this.inner = draw("g", { "clip-path": `url(#${clip})` });
    this.svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
      draw("clipPath", { id: clip }, draw("rect", { x: left, y: 0, width: width - RIGHT - left, height: height - BOTTOM + 1 })));
    this.drawShades();
    this.drawAxes(xs, yTicks);
    this.svg.append(this.inner);
    for (const series of this.visible()) this.drawSeries(series);
    this.drawMarks();
    this.cross = draw("g", { class: "cross" });
    this.svg.append(this.cross);
  }

  visible() {
    return this.spec.series.filter((series) => !this.hidden.has(series.name));
  }

  range() {
    const wide = this.xs.at(-1) - this.xs[0];
    const pad = this.categorical || this.bars() ? this.gap() / 2 : this.spec.scale === "number" ? wide * 0.03 : 0;
    const low = this.xs[0] - pad, high = this.xs.at(-1) + pad;
    const room = this.spec.scale === "time" ? 86400 : this.gap() || 1; // around a single x
    return this.zoom ?? (low < high ? [low, high] : [low - room, high + room]);
  }

  bars() {
    return this.spec.series.some((series) => series.shape === "bars");
  }

  gap() {
    let least = Infinity;
    for (let n = 1; n < this.xs.length; n++) least = Math.min(least, this.xs[n] - this.xs[n - 1]);
    return Number.isFinite(least) ? least : 1;
  }

  heights([from, to]) {
    let low = Infinity, high = -Infinity;
    const take = (value) => {
      if (value === null || value === undefined) return;
      low = Math.min(low, value);
      high = Math.max(high, value);
    };
    // A sequence that narrows would be a line if its first, widest values had to fit.
    const settled = this.spec.narrows && !this.zoom ? Math.floor(this.xs.length / 5) : 0;
    for (const series of this.visible())
      this.xs.forEach((x, n) => {
        if (x < from || x > to || n < settled) return;
        take(series.y[n]);
        take(series.low?.[n]);
        take(series.high?.[n]);
      });
    for (const { y } of this.spec.rules) take(y);
    if (this.spec.zero || this.bars()) take(0);
    if (low > high) return [0, 1];
    if (low === high) return low === 0 ? [0, 1] : [low - Math.abs(low) * 0.1, high + Math.abs(high) * 0.1];
    const pad = (high - low) * 0.06;
    return [low === 0 ? 0 : low - pad, high === 0 ? 0 : high + pad];
  }

  drawShades() {
    for (const { start, end, text } of this.spec.shades) {
      const x = this.X(start), width = Math.max(this.X(end) - x, 0);
      const shade = draw("rect", { class: "shade", x, y: TOP, width, height: this.box.bottom - TOP });
      this.inner.append(shade);
      if (width > text.length * 6.4) this.inner.append(draw("text", { class: "note", x: x + 6, y: TOP + 12 }, text));
    }
  }

  drawAxes(xs, yTicks) {
    const { left, right, bottom } = this.box;
    for (const tick of yTicks) {
      const y = this.Y(tick);
      this.svg.append(draw("line", { class: tick === 0 ? "axis" : "grid", x1: left, x2: right, y1: y, y2: y }),
        draw("text", { class: "tick", x: left - 6, y: y + 4, "text-anchor": "end" }, short(tick)));
    }
    let edge = -Infinity;
    for (const [value, text] of this.xTicks(xs)) {
      const x = this.X(value), half = text.length * 3.3;
      if (x - half < edge || x < left - 1 || x > right + 1) continue;
      edge = x + half + 8;
      const anchor = x + half > this.box.width ? "end" : "middle";
      this.svg.append(draw("text", { class: "tick", x: Math.min(x, this.box.width), y: bottom + 18, "text-anchor": anchor }, text));
    }
    for (const { y: level, text, tone } of this.spec.rules) {
      const y = this.Y(level);
      this.inner.append(draw("line", { class: `rule tone-${tone}`, x1: left, x2: right, y1: y, y2: y }),
        draw("text", { class: `note tone-${tone}`, x: right - 4, y: y - 5, "text-anchor": "end" }, text));
    }
  }

  xTicks([low, high]) {
    const room = Math.max(2, Math.floor((this.box.right - this.box.left) / 88));
    if (this.categorical) return this.spec.x.map((name, n) => [n, String(name)]);
    if (this.spec.scale === "time") return timeTicks(low, high, room).map((at) => [at, timeTick(at, high - low)]);
    if (this.ages) return ageTicks(low, high).map((at) => [at, duration(at)]);
    if (this.spec.scale === "log") return logTicks(low, high).map((at) => [at, short(at)]);
    return ticks(low, high, room).map((at) => [at, short(at)]);
  }

  drawSeries(series) {
    const tone = `tone-${series.tone}`;
    if (series.low && series.high) this.inner.append(draw("path", { class: `band ${tone}`, d: this.band(series) }));
    if (series.shape === "bars") return this.drawBars(series, tone);
    if (series.shape === "points") {
      series.y.forEach((y, n) => y !== null && this.inner.append(draw("circle", { class: `dot ${tone}`, cx: this.X(this.xs[n]), cy: this.Y(y), r: 3.5 })));
      return;
    }
    this.inner.append(draw("path", { class: `line ${tone}${series.dashed ? " dashed" : ""}${series.bold ? " bold" : ""}`, d: this.path(series) }));
    if (series.y.filter((y) => y !== null).length === 1) {
      const n = series.y.findIndex((y) => y !== null);
      this.inner.append(draw("circle", { class: `dot ${tone}`, cx: this.X(this.xs[n]), cy: this.Y(series.y[n]), r: 3 }));
    }
  }

  drawBars(series, tone) {
    const all = this.visible().filter((other) => other.shape === "bars");
    const slot = Math.abs(this.X(this.xs[0] + this.gap()) - this.X(this.xs[0])) * 0.82;
    const width = Math.max(slot / all.length - (slot > 12 ? 1 : 0), 1);
    series.y.forEach((y, n) => {
      if (y === null) return;
      const x = this.X(this.xs[n]) - slot / 2 + all.indexOf(series) * (slot / all.length);
      const top = Math.min(this.Y(y), this.Y(0));
      this.inner.append(draw("rect", { class: `bar ${tone}`, x, y: top, width, height: Math.abs(this.Y(y) - this.Y(0)) }));
    });
  }

  path(series) {
    let d = "", pen = false;
    series.y.forEach((y, n) => {
      if (y === null) return void (pen = false);
      const x = this.X(this.xs[n]).toFixed(1), at = this.Y(y).toFixed(1);
      if (pen && series.shape === "step") d += `H${x}`;
      d += `${pen ? "L" : "M"}${x} ${at}`;
      pen = true;
    });
    return d;
  }

  band(series) {
    let d = "", run = [];
    const close = () => {
      if (run.length) d += "M" + run.map(([x, , high]) => `${x} ${high}`).join("L") + "L" + run.reverse().map(([x, low]) => `${x} ${low}`).join("L") + "Z";
      run = [];
    };
    series.low.forEach((low, n) => {
      if (low === null || series.high[n] === null) return close();
      run.push([this.X(this.xs[n]).toFixed(1), this.Y(low).toFixed(1), this.Y(series.high[n]).toFixed(1)]);
    });
    close();
    return d;
  }

  drawMarks() {
    for (const { x, text, tone } of this.spec.marks) {
      const at = this.X(x), mark = draw("g", { class: `mark tone-${tone}` });
      mark.append(draw("line", { x1: at, x2: at, y1: TOP, y2: this.box.bottom }),
        draw("path", { d: `M${at - 5} ${TOP - 8}h10l-5 8z` }), draw("title", {}, `${moment(x)}: ${text}`));
      this.inner.append(mark);
    }
  }

  nearest(x) {
    let best = 0;
    this.xs.forEach((value, n) => {
      if (Math.abs(value - x) < Math.abs(this.xs[best] - x)) best = n;
    });
    return best;
  }

  // An x of the horizontal axis as text.
  label(n) {
    const value = this.xs[n];
    if (this.categorical) return String(this.spec.x[n]);
    if (this.spec.scale === "time") return moment(value);
    return this.ages ? duration(value) : `${this.spec.x_name} ${short(value)}`;
  }

  // A line at one x, with a dot on each series; false if that x is outside.
  point(n) {
    this.cross.replaceChildren();
    if (n === null || n >= this.xs.length) return false;
    const x = this.X(this.xs[n]);
    if (x < this.box.left - 1 || x > this.box.right + 1) return false;
    this.cross.append(draw("line", { x1: x, x2: x, y1: TOP, y2: this.box.bottom }));
    for (const series of this.visible())
      if (series.y[n] !== null && series.shape !== "bars") this.cross.append(draw("circle", { class: `dot tone-${series.tone}`, cx: x, cy: this.Y(series.y[n]), r: 4 }));
    return true;
  }

  select(from, to) {
    this.picked?.remove();
    this.picked = draw("rect", { class: "picked", x: Math.min(from, to), y: TOP, width: Math.abs(to - from), height: this.box.bottom - TOP });
    this.svg.append(this.picked);
  }
}
