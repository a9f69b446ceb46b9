"use strict";

// Numbers as words, as places on an axis and as colours.

const UNITS = { _bytes: "B", _ms: "ms", _uj: "µJ" };
const PREFIXES = [["G", 1e9], ["M", 1e6], ["k", 1e3]];
const MOST = 1e15;  // from here on an amount is written with an exponent
const SHARES = ["error", "float_error", "share"];  // names of values that are written in per cent
const HUGE = 1e300;  // values beyond are drawn there, as their difference is no number

const colour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;
const bounded = value => Math.min(Math.max(value, -HUGE), HUGE);

const prefixOf = size => PREFIXES.find(p => size < MOST && size >= Math.max(p[1], 1e4)) || ["", 1];

// A value for people, as amount() in text.py writes it.
function amount(name, value) {
  if (value === null || value === undefined) return "";
  const huge = Math.abs(value) >= MOST;
  if (!huge && SHARES.includes(name)) return (100 * value).toFixed(2) + " %";
  const short = (v, digits) => Math.abs(v) > 0 && Math.abs(v) < 1e-4 ? v.toExponential(3)
    : Number(v.toPrecision(digits)).toLocaleString("en-US", { maximumFractionDigits: 12 });
  const unit = Object.entries(UNITS).filter(([end]) => name.endsWith(end)).map(entry => entry[1])[0] || "";
  if (huge) return (value.toExponential(3) + " " + unit).trimEnd();
  const [prefix, size] = prefixOf(unit === "" || unit === "B" ? Math.abs(value) : 0), scaled = value / size;
  const number = Math.abs(scaled) < 1e4 ? short(scaled, 4) : Math.round(scaled).toLocaleString("en-US");
  return (number + " " + prefix + unit).trimEnd();
}

// All of a count, and of other values as many digits as the page has.
function exact(number) {
  if (Number.isSafeInteger(number)) return number.toLocaleString("en-US");
  return Math.abs(number) < MOST ? number.toLocaleString("en-US", { maximumSignificantDigits: 7 }) : String(number);
}

function axisAround(name, values, limit) {
  let low = Infinity, high = -Infinity;
  for (const value of values) { low = Math.min(low, bounded(value)); high = Math.max(high, bounded(value)); }
  if (!(low <= high)) [low, high] = [0, 1];
  if (low <= limit && limit <= high + 0.15 * (high - low)) high = Math.max(high, limit);
  let air = 0.05 * (high - low);
  if (air < 1 / HUGE) air = Math.abs(high) > 1e-200 ? 0.05 * Math.abs(high) : 1;
  return { name, low: low - air, high: high + air };
}

function ticks(axis, count) {
  const span = axis.high - axis.low, power = 10 ** Math.floor(Math.log10(span / count));
  const step = [1, 2, 5, 10].map(factor => power * factor).find(s => s >= span / (count + 0.001)) || span;
  const found = [];
  const last = Math.min(Math.floor(axis.high / step), Math.ceil(axis.low / step) + 50);
  for (let i = Math.ceil(axis.low / step); i <= last; i++) found.push(i * step);
  const [prefix, size] = prefixOf(Math.max(Math.abs(axis.low), Math.abs(axis.high)));
  const share = SHARES.includes(axis.name);
  const words = v => v === 0 ? "0" : Number((share ? 100 * v : v / size).toPrecision(6)) + (share ? " %" : prefix);
  return found.map(value => [value, words(value)]);
}

// Strong for a low value, pale for a high one, on a light page and on a dark one. `share` in [0, 1].
function shade(share, dark) {
  const stops = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];  // viridis
  const place = 4 * (dark ? 1 - share : share), i = Math.min(3, Math.floor(place)), t = place - i;
  return "rgb(" + stops[i].map((c, k) => Math.round(c + t * (stops[i + 1][k] - c))).join(" ") + ")";
}
