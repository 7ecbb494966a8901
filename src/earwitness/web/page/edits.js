// The shapes of a "what if": in words, in the address, and what is done and undone with them.

import { band, rounded, span } from "./format.js";

export const ACTIONS = [["hide", "Hide"], ["keep", "Keep only"], ["attenuate", "Attenuate"]];

export function inWords(edit) {
  const what = edit.action === "attenuate" ? `attenuate by ${Math.abs(edit.decibels)} dB` : edit.action === "keep" ? "keep only" : "hide";
  const [start, end, low, high] = bounds(edit);
  return `${what} ${span(start, end)}, ${band(low, high)}${edit.shape === "lasso" ? " (lasso)" : ""}`;
}

export function bounds(edit) {
  if (edit.shape === "box") return [edit.start, edit.end, edit.low, edit.high];
  const times = edit.points.map(([seconds]) => seconds), hertz = edit.points.map(([, hz]) => hz);
  return [Math.min(...times), Math.max(...times), Math.min(...hertz), Math.max(...hertz)];
}

// `box_1.2_1.8_500_2000_hide` and `lasso_hide_1.2_500_1.3_600...`, joined by `~`; decibels follow "attenuate".
export function textOfEdits(edits) {
  const how = (edit) => (edit.action === "attenuate" ? `attenuate${Math.round(Math.abs(edit.decibels))}` : edit.action);
  return edits.map((edit) => (edit.shape === "box"
    ? ["box", rounded(edit.start, 3), rounded(edit.end, 3), Math.round(edit.low), Math.round(edit.high), how(edit)]
    : ["lasso", how(edit), ...edit.points.flatMap(([seconds, hz]) => [rounded(seconds, 3), Math.round(hz)])]).join("_")).join("~") || null;
}

export function editsFromText(text) {
  return (text ?? "").split("~").map(fromPart).filter(Boolean);
}

function fromPart(part) {
  const [shape, ...rest] = part.split("_");
  const how = (word = "") => {
    const [, action, decibels] = word.match(/^(hide|keep|attenuate)(\d*)$/) ?? [];
    return action && { action, decibels: -(Number(decibels) || 20) };
  };
  if (shape === "box") {
    const [start, end, low, high] = rest.slice(0, 4).map(Number);
    return how(rest[4]) && [start, end, low, high].every(Number.isFinite) ? { shape, start, end, low, high, ...how(rest[4]) } : null;
  }
  if (shape !== "lasso" || !how(rest[0])) return null;
  const numbers = rest.slice(1).map(Number);
  const points = numbers.length % 2 ? [] : numbers.reduce((all, value, place) => (place % 2 ? all : [...all, [value, numbers[place + 1]]]), []);
  return points.length > 2 && numbers.every(Number.isFinite) ? { shape, points, ...how(rest[0]) } : null;
}

// States to go back to and forth from.
export class History {
  constructor(first) { this.states = [first]; this.at = 0; }

  get now() { return this.states[this.at]; }

  add(state) { this.states.splice(this.at + 1, Infinity, state); this.at += 1; }

  undo() { this.at = Math.max(0, this.at - 1); return this.now; }

  redo() { this.at = Math.min(this.states.length - 1, this.at + 1); return this.now; }

  get canUndo() { return this.at > 0; }

  get canRedo() { return this.at < this.states.length - 1; }
}
