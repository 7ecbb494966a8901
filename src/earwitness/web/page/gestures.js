// What fingers, mouse and keys do on the lanes: zoom, move, seek, and draw shapes.

const CLICK = 4; // pixels within which a drag is a click
const WHEEL = 1.0015;

// handlers: seek(seconds), tool() -> "pan" | "box" | "lasso", draw(phase, points) with points [[x, y], ...] in pixels
export function gestures(element, view, handlers) {
  const fingers = new Map();
  let drag = null;
  const width = () => element.clientWidth;
  const local = (event) => {
    const box = element.getBoundingClientRect();
    return [Math.min(Math.max(event.clientX - box.left, 0), box.width), Math.min(Math.max(event.clientY - box.top, 0), box.height)];
  };

  element.addEventListener("wheel", (event) => {
    const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    const by = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
    // Zoomed out already: then the wheel scrolls the page, and nobody is held fast.
    if (!sideways && event.deltaY > 0 && view.isWhole) return;
    if (sideways && view.isWhole) return;
    event.preventDefault();
    if (sideways) view.move((by / width()) * view.length);
    else view.zoom(WHEEL ** -(event.deltaY * (event.deltaMode ? 20 : 1)), view.at(local(event)[0], width()));
  }, { passive: false });

  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const place = local(event);
    fingers.set(event.pointerId, place);
    element.setPointerCapture(event.pointerId);
    if (fingers.size === 2) {
      if (drag?.points) handlers.draw("cancel", []);
      const [[one], [two]] = [...fingers.values()];
      drag = { pinch: Math.max(20, Math.abs(one - two)), middle: view.at((one + two) / 2, width()), length: view.length };
    } else if (fingers.size === 1) {
      const tool = handlers.tool?.(event) ?? "pan";
      drag = { from: place, start: view.start, moved: false, tool, points: tool === "pan" ? null : [place] };
    }
  });

  element.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId) || !drag) return;
    const place = local(event);
    fingers.set(event.pointerId, place);
    if (drag.pinch) {
      if (fingers.size < 2) return;
      const [[one], [two]] = [...fingers.values()];
      const length = drag.length * (drag.pinch / Math.max(20, Math.abs(one - two)));
      const start = drag.middle - ((one + two) / 2 / width()) * length;
      view.set(start, start + length);
      return;
    }
    if (Math.hypot(place[0] - drag.from[0], place[1] - drag.from[1]) > CLICK) drag.moved = true;
    if (!drag.moved) return;
    if (drag.points) {
      if (drag.tool === "lasso") drag.points.push(place); else drag.points = [drag.from, place];
      handlers.draw("move", drag.points, drag.tool);
    } else {
      const start = drag.start - ((place[0] - drag.from[0]) / width()) * view.length;
      view.set(start, start + view.length);
    }
  });

  const up = (event) => {
    if (!fingers.delete(event.pointerId) || !drag) return;
    const done = drag;
    if (fingers.size) return; // of two fingers one is still down: it does not start a drag of its own
    drag = null;
    if (done.pinch) return;
    if (event.type === "pointercancel") { if (done.points) handlers.draw("cancel", []); return; }
    if (!done.moved) handlers.seek?.(view.at(done.from[0], width()), event);
    else if (done.points) handlers.draw("end", done.points, done.tool);
  };
  element.addEventListener("pointerup", up);
  element.addEventListener("pointercancel", up);
}

// The same by keys, where the lanes have the focus.
export function stageKeys(element, view, player) {
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== element) return;
    const at = player.position >= view.start && player.position <= view.end ? player.position : undefined;
    const step = event.shiftKey ? 0.5 * view.length : 0.02 * view.length;
    const run = {
      ArrowLeft: () => (event.shiftKey ? view.move(-step) : seek(-step)),
      ArrowRight: () => (event.shiftKey ? view.move(step) : seek(step)),
      ArrowUp: () => view.zoom(1.5, at), ArrowDown: () => view.zoom(1 / 1.5, at),
      "+": () => view.zoom(1.5, at), "=": () => view.zoom(1.5, at), "-": () => view.zoom(1 / 1.5, at), 0: () => view.fit(),
      Home: () => { player.seek(0); view.reveal(0); }, End: () => { player.seek(view.seconds); view.reveal(view.seconds); },
    }[event.key];
    if (!run) return;
    event.preventDefault();
    run();
  });
  const seek = (by) => { player.seek(player.position + by); view.reveal(Math.min(Math.max(player.position, 0), view.seconds)); };
}

// The bar that shows which part of the recording is in sight: dragged, it moves the view.
export function scrolling(element, view) {
  const to = (event) => {
    const box = element.getBoundingClientRect();
    const start = ((event.clientX - box.left) / box.width) * view.seconds - view.length / 2;
    view.set(Math.max(0, start), Math.max(0, start) + view.length);
  };
  element.addEventListener("pointerdown", (event) => { element.setPointerCapture(event.pointerId); to(event); });
  element.addEventListener("pointermove", (event) => { if (element.hasPointerCapture(event.pointerId)) to(event); });
}
