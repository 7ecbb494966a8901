// What is drawn over the log-mel as shapes: the explained segment's frame, the map's regions, and the edits of a
// "what if". Shapes are told apart by pattern and number, never by colour alone.

import { shareOfHertz } from "./axes.js";
import { put, s } from "./dom.js";

const HATCH = [["hide", "M0 8L8 0M-2 2L2 -2M6 10L10 6M0 0L8 8M-2 6L2 10M6 -2L10 2"], ["attenuate", "M0 8L8 0M-2 2L2 -2M6 10L10 6"]];

export function drawMarks(svg, scene, drawing, own) {
  const { clientWidth: width, clientHeight: height } = svg.parentElement;
  const { view, collection: { grid }, map } = scene;
  const x = (seconds) => view.x(seconds, width);
  const y = (hz) => height * (1 - shareOfHertz(grid, hz));
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const box = (start, end, low, high, className, style) => s("rect", { class: className, style, x: x(start), y: y(high), width: Math.max(1, x(end) - x(start)), height: Math.max(1, y(low) - y(high)) });
  const shapes = [s("defs", {}, HATCH.map(([id, d]) => s("pattern", { id: `${own}-${id}`, width: 8, height: 8, patternUnits: "userSpaceOnUse" }, s("path", { class: `hatch ${id}`, d }))))];
  const frame = map ? [map.start_seconds, map.end_seconds] : null;
  if (frame) shapes.push(s("rect", { class: "frame", x: x(frame[0]), y: 1, width: Math.max(2, x(frame[1]) - x(frame[0])), height: height - 2 }));
  if (map && scene.marked) {
    map.regions.forEach((each, place) => {
      shapes.push(box(each.start_seconds, each.end_seconds, each.low_hz, each.high_hz, "region rim"), box(each.start_seconds, each.end_seconds, each.low_hz, each.high_hz, "region"));
      shapes.push(...tag(String.fromCharCode(65 + place), Math.max(2, x(each.start_seconds)), y(each.high_hz)));
    });
  }
  const edits = drawing ? [...scene.edits, drawing] : scene.edits;
  edits.forEach((edit, place) => {
    const style = edit.action === "keep" ? null : { fill: `url(#${own}-${edit.action})` };
    if (edit.shape === "box") {
      const corners = [edit.start, edit.end, edit.low, edit.high];
      shapes.push(box(...corners, "edit rim"), box(...corners, `edit ${edit.action}`, style), ...tag(place + 1, Math.max(2, x(edit.start)), y(edit.high)));
    } else {
      const points = edit.points.map(([seconds, hz]) => `${x(seconds)},${y(hz)}`).join(" ");
      shapes.push(s("polygon", { class: "edit rim", points }), s("polygon", { class: `edit ${edit.action}`, points, style }), ...tag(place + 1, x(edit.points[0][0]), y(edit.points[0][1])));
    }
  });
  put(svg, shapes);
}

const tag = (text, x, y) => [s("rect", { class: "tag", x, y: Math.max(0, y), width: 15, height: 15, rx: 2 }), s("text", { class: "tag-text", x: x + 7.5, y: Math.max(0, y) + 11.5 }, text)];
