// Numbers as words: one way for each kind of number, everywhere on the page.

const MINUS = "\u2212";

export function score(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "\u2013";
  if (value > 0 && value < 0.005) return "< 0.01";
  if (value < 1 && value >= 0.995) return "> 0.99";
  return value.toFixed(2).replace("-", MINUS);
}

export const scoreOf = (scores, wanted) => scores.find((each) => each.class === wanted)?.score;

// The difference of the two numbers as they are shown: rounded by itself it would not be what one reckons from them.
export function change(before, after) {
  const value = rounded(after) - rounded(before);
  if (Math.abs(value) < 0.005) return "\u00b1 0.00";
  return (value > 0 ? "+" : MINUS) + Math.abs(value).toFixed(2);
}

export const percent = (value, digits = 1) => (value === null || value === undefined ? "\u2013" : `${(100 * value).toFixed(digits)} %`);

export function seconds(value, digits = 2) {
  if (value < 60) return `${value.toFixed(digits)} s`;
  return `${minutes(value, digits)} min`;
}

function minutes(value, digits) {
  const whole = Math.floor(value / 60);
  return `${whole}:${(value - 60 * whole).toFixed(digits).padStart(digits ? 3 + digits : 2, "0")}`;
}

export const hertz = (value) => (value >= 1000 ? `${trim(value / 1000)}k` : trim(value));

export const band = (low, high) => `${Math.round(low)}\u2013${Math.round(high)} Hz`;

export const span = (start, end) => (end < 60 ? `${start.toFixed(2)}\u2013${end.toFixed(2)} s` : `${minutes(start, 2)}\u2013${minutes(end, 2)} min`);

// A few significant digits, without trailing zeros; very small and large ones with a power of ten.
export function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size < 0.001 || size >= 1e5 ? value.toExponential(1) : String(Number(value.toPrecision(2)));
  return text.replaceAll("-", MINUS);
}

export const count = (value) => value.toLocaleString("en");

export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

const trim = (value) => String(Number(value.toFixed(value < 10 ? 1 : 0)));

export const rounded = (value, digits = 2) => Number(value.toFixed(digits));
