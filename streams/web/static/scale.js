// Axes: where a value stands, which values are written beside it, and how they are written.

const MINUTE = 60, HOUR = 3600, DAY = 86400;
const TIME_STEPS = [1, 5, 15, 30, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR,
  6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 91 * DAY, 182 * DAY, 365 * DAY];
const UTC = { timeZone: "UTC" };

export function linear(low, high, from, to) {
  const span = high - low || 1;
  const scale = (value) => from + ((value - low) / span) * (to - from);
  scale.invert = (at) => low + ((at - from) / (to - from)) * span;
  return scale;
}

export function logarithmic(low, high, from, to) {
  const inner = linear(Math.log10(low), Math.log10(high), from, to);
  const scale = (value) => inner(Math.log10(Math.max(value, low)));
  scale.invert = (at) => 10 ** inner.invert(at);
  return scale;
}

export function ticks(low, high, count) {
  const raw = (high - low) / Math.max(count, 1) || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= raw * 0.999);
  const ticks = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++) ticks.push(n * step);
  return ticks;
}

export function timeTicks(low, high, count) {
  const raw = (high - low) / Math.max(count, 1);
  const least = high - low > 2 * DAY ? DAY : 0;
  const step = TIME_STEPS.find((n) => n >= raw && n >= least) ?? Math.ceil(raw / (365 * DAY)) * 365 * DAY;
  const ticks = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) ticks.push(at);
  return ticks;
}

export function logTicks(low, high) {
  const ticks = [];
  for (let power = Math.ceil(Math.log10(low) - 1e-9); power <= Math.log10(high) + 1e-9; power++) ticks.push(10 ** power);
  return ticks.length > 1 ? ticks : [low, high];
}

const AGES = [1, 10, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY];

export function ageTicks(low, high) {
  return AGES.filter((age) => age >= low * 0.999 && age <= high * 1.001);
}

export function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e4) return Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value).replace("-", "−");
  return Intl.NumberFormat("en", { maximumSignificantDigits: size >= 1000 ? 5 : 3 }).format(value).replace("-", "−");
}

export function exact(value) {
  return Intl.NumberFormat("en", { maximumSignificantDigits: 6 }).format(value).replace("-", "−");
}

export function timeTick(at, span) {
  const date = new Date(at * 1000);
  if (span > 300 * DAY) return date.toLocaleDateString("en-GB", { ...UTC, month: "short", year: "2-digit" });
  if (span > 2 * DAY || at % DAY === 0) return date.toLocaleDateString("en-GB", { ...UTC, day: "numeric", month: "short" });
  return date.toLocaleTimeString("en-GB", { ...UTC, hour: "2-digit", minute: "2-digit", ...(span < 10 * MINUTE ? { second: "2-digit" } : {}) });
}

export function moment(at) {
  const text = new Date(at * 1000).toISOString();
  return at % DAY === 0 ? text.slice(0, 10) : text.slice(0, 16).replace("T", " ") + " UTC";
}

export function duration(seconds) {
  if (seconds < 2 * MINUTE) return `${exact(seconds)} s`;
  if (seconds < 2 * HOUR) return `${exact(seconds / MINUTE)} min`;
  if (seconds < 2 * DAY) return seconds === DAY ? "1 day" : `${exact(seconds / HOUR)} h`;
  return `${exact(seconds / DAY)} days`;
}
