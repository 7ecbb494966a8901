// All keys of the page, by view: what each does in words. Views bind them (keys.js); what fingers do stands beside them.

import { DECISIONS } from "./reviews.js";

const PLAY = [[" ", "p"], "play or pause"];
const ZOOM = [[["+", "="], "nearer"], [["-"], "farther"], [["0"], "all of the recording"]];
const DECIDE = [...DECISIONS.map((each) => [[each.key], each.text.toLowerCase()]), [["u"], "undo the last decision"], [["s"], "skip"]];
const AUTOPLAY = [["a"], "autoplay on or off"];

// keys: [[names, what they do; nothing where it goes without saying]]; touch: [[gesture, what it does]]
export const VIEWS = {
  Everywhere: { keys: [[["?"], "show these keys"]] },
  Queue: {
    keys: [
      [["ArrowDown", "j"], "next recording"], [["ArrowUp", "k"], "previous recording"], [["PageDown"]], [["PageUp"]], [["Home"], "first recording"], [["End"], "last recording"],
      [["Enter"], "open it"], [[" ", "p"], "play or stop"], ...DECIDE, AUTOPLAY, [["/"], "search"],
    ],
    touch: [["tap a row", "selects it"], ["tap a name", "opens it"]],
  },
  Recording: {
    keys: [
      PLAY, [["j", "ArrowDown"], "next recording"], [["k", "ArrowUp"], "previous recording"], [["ArrowLeft"], "cursor back"], [["ArrowRight"], "cursor on"], ...ZOOM, ...DECIDE, [["n"], "write a note"], AUTOPLAY,
      [["b"], "draw boxes, or move"], [["o"], "outlines on or off"], [["e", "l", "w", "f"], "evidence, listen, what if, facts"], [["q"], "back to the queue"],
    ],
    touch: [["two fingers", "nearer and farther"], ["one finger", "moves the view; with Box or Lasso it draws"], ["tap", "sets the cursor; on the scores it chooses the segment"]],
  },
  Compare: { keys: [PLAY, ...ZOOM], touch: [["two fingers", "nearer and farther"], ["one finger", "moves the view"], ["tap", "sets the cursor"]] },
};
