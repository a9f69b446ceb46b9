"use strict";

// A chart of points on two canvases: one for what stays, one over it for what follows the pointer.
// 10,000 points are one loop over arrays and as many copies of a small picture; no library is needed, or loaded.

const MARGIN = { left: 62, right: 18, top: 34, bottom: 44 };
const NEAR = 24;  // pixels in which a point answers

// spec: { label, x, y, shade?, points, stairs?, tip, pick?, move? }. x, y and shade: { name, title, limit? }.
// points: { id, x, y, level, shade } of arrays; level 0 = lower rung, 1 = rated, 2 = front, 3 = unseen.
// stairs: [x, y] corners. move: the pointer is followed from left to right only.
function chart(parent, spec) {
  const figure = parent.appendChild(document.createElement("figure"));
  figure.className = "chart";
  figure.tabIndex = 0;
  figure.setAttribute("role", "group");
  const [below, above] = [0, 1].map(() => figure.appendChild(document.createElement("canvas")));
  const tip = figure.appendChild(document.createElement("div"));
  tip.className = "tip";
  const whole = figure.appendChild(document.createElement("button"));
  whole.textContent = "whole picture";
  tip.hidden = whole.hidden = true;
  let x, y, full, place, width, height, right, bottom, at;
  let over = null, drag = null, marked = null, way = [], waiting = false;

  const { left, top } = MARGIN;
  const px = value => left + (bounded(value) - x.low) / (x.high - x.low) * (right - left);
  const py = value => bottom - (bounded(value) - y.low) / (y.high - y.low) * (bottom - top);
  const inside = (a, b) => a > left - 7 && a < right + 7 && b > top - 7 && b < bottom + 7;

  function reset() {
    place = new Map(spec.points.id.map((id, i) => [id, i]));
    full = [axisAround(spec.x.name, spec.points.x, spec.x.limit), axisAround(spec.y.name, spec.points.y, spec.y.limit)];
    zoom(...full);
  }

  function zoom(across, upright) {
    [x, y] = [across, upright];
    whole.hidden = across === full[0];
    figure.setAttribute("aria-label", spec.label);
    draw();
  }

  function surface(canvas) {
    const ratio = window.devicePixelRatio || 1, pen = canvas.getContext("2d");
    const size = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "12px system-ui, sans-serif";
    return pen;
  }

  // A dot, painted once and copied for every point that looks like it.
  function stamp(fill, radius, ring) {
    const ratio = window.devicePixelRatio || 1, size = 2 * radius + 4, canvas = document.createElement("canvas");
    canvas.width = canvas.height = size * ratio;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.arc(size / 2, size / 2, radius, 0, 7);
    pen.fillStyle = fill;
    pen.fill();
    if (ring) { pen.strokeStyle = ring; pen.lineWidth = 1.5; pen.stroke(); }
    return { canvas, size };
  }

  function draw() {
    width = figure.clientWidth;
    height = figure.clientHeight;
    [right, bottom] = [width - MARGIN.right, height - MARGIN.bottom];
    if (!width) return;
    const pen = surface(below);
    frame(pen);
    pen.save();
    pen.beginPath();
    pen.rect(left - 6, top - 6, right - left + 12, bottom - top + 12);
    pen.clip();
    points(pen);
    pen.restore();
    follow();
  }

  function frame(pen) {
    pen.strokeStyle = colour("rule");
    pen.fillStyle = colour("quiet");
    pen.beginPath();
    pen.textAlign = "center";
    for (const [value, words] of ticks(x, Math.max(2, Math.min(7, (width - 80) / 55)))) {
      pen.moveTo(px(value), top);
      pen.lineTo(px(value), bottom);
      pen.fillText(words, px(value), bottom + 17);
    }
    pen.textAlign = "right";
    for (const [value, words] of ticks(y, 5)) {
      pen.moveTo(left, py(value));
      pen.lineTo(right, py(value));
      pen.fillText(words, left - 8, py(value) + 4);
    }
    pen.stroke();
    pen.fillStyle = colour("ink");
    pen.textAlign = "left";
    pen.fillText(spec.y.title, 6, 16);
    pen.textAlign = "center";
    pen.fillText(spec.x.title, (left + right) / 2, height - 8);
    if (spec.shade) scale(pen);
    pen.strokeStyle = colour("quiet");
    pen.setLineDash([4, 3]);
    pen.beginPath();
    if (x.low <= spec.x.limit && spec.x.limit <= x.high) {
      pen.moveTo(px(spec.x.limit), top);
      pen.lineTo(px(spec.x.limit), bottom);
    }
    if (y.low <= spec.y.limit && spec.y.limit <= y.high) {
      pen.moveTo(left, py(spec.y.limit));
      pen.lineTo(right, py(spec.y.limit));
    }
    pen.stroke();
    pen.setLineDash([]);
  }

  // What the colours mean, at the top right.
  function scale(pen) {
    const [low, high] = spec.points.ends.map(value => amount(spec.shade.name, value)), dark = isDark();
    pen.fillStyle = colour("quiet");
    pen.textAlign = "right";
    pen.fillText(high, right, 16);
    const end = right - pen.measureText(high).width - 6;
    for (let i = 0; i < 48; i++) { pen.fillStyle = shade(i / 47, dark); pen.fillRect(end - 48 + i, 7, 1.5, 10); }
    pen.fillStyle = colour("quiet");
    pen.fillText(spec.shade.name + "  " + low, end - 54, 16);
  }

  function stairs(pen) {
    pen.strokeStyle = colour("best");
    pen.lineWidth = 1.2;
    pen.beginPath();
    spec.stairs.forEach(([a, b], i) => {
      if (i) pen.lineTo(px(a), py(spec.stairs[i - 1][1]));
      pen.lineTo(px(a), py(b));
    });
    pen.stroke();
  }

  function points(pen) {
    const { level, shade: shares } = spec.points, dark = isDark();
    const paper = colour("paper"), ink = colour("ink"), stamps = new Map();
    // dots are smaller where they crowd
    const radius = (count, least, most) => Math.max(least, Math.min(most, 60 / Math.sqrt(count)));
    const usual = radius(level.length, 1.6, 3.2), front = radius(level.filter(l => l === 2).length, 3, 5);
    const looks = [["pale", usual - 0.4], ["dot", usual], ["best", front]];
    const look = i => {
      const bin = shares ? Math.round(31 * shares[i]) : 0, key = 3 * bin + level[i];
      if (!stamps.has(key)) {
        const [name, size] = looks[level[i]], ring = level[i] < 2 ? null : shares ? ink : paper;
        stamps.set(key, stamp(shares ? shade(bin / 31, dark) : colour(name), size, ring));
      }
      return stamps.get(key);
    };
    at = { x: Float32Array.from(spec.points.x, px), y: Float32Array.from(spec.points.y, py) };
    for (let wanted = 0; wanted < 3; wanted++) {
      if (wanted === 2 && spec.stairs) stairs(pen);
      for (let i = 0; i < level.length; i++) {
        if (level[i] !== wanted || !inside(at.x[i], at.y[i])) continue;
        const { canvas, size } = look(i);
        pen.drawImage(canvas, at.x[i] - size / 2, at.y[i] - size / 2, size, size);
      }
    }
  }

  // What is over the points: the way of ancestors, the picked network, the one under the pointer, the part to zoom to.
  function follow() {
    waiting = false;
    const pen = surface(above);
    const ring = (i, radius, name, line) => {
      pen.strokeStyle = colour(name);
      pen.lineWidth = line;
      pen.beginPath();
      pen.arc(at.x[i], at.y[i], radius, 0, 7);
      pen.stroke();
    };
    const steps = way.map(id => place.get(id)).filter(i => i !== undefined && inside(at.x[i], at.y[i]));
    pen.strokeStyle = colour("pick");
    pen.lineWidth = 1.5;
    pen.beginPath();
    for (const i of steps) pen.lineTo(at.x[i], at.y[i]);
    pen.stroke();
    if (steps.length < 30) for (const i of steps) ring(i, 5, "pick", 1.5);  // more of them would hide the points
    const here = place.get(marked);
    if (here !== undefined && inside(at.x[here], at.y[here])) ring(here, 9, "pick", 3);
    if (over !== null) ring(over, 8, "ink", 1.5);
    if (drag && drag.far) {
      pen.strokeStyle = colour("pick");
      pen.lineWidth = 1;
      pen.strokeRect(drag.a, drag.b, drag.to[0] - drag.a, drag.to[1] - drag.b);
    }
  }

  function soon() {
    if (!waiting) { waiting = true; requestAnimationFrame(follow); }
  }

  function nearest(a, b, reach) {
    let best = null, least = reach * reach;
    for (let i = 0; i < at.x.length; i++) {
      const squares = (at.x[i] - a) ** 2 + (spec.move ? 0 : (at.y[i] - b) ** 2);
      const distance = spec.points.level[i] === 2 ? squares / 4 : squares;  // the front answers first
      if (distance < least && inside(at.x[i], at.y[i])) [best, least] = [i, distance];
    }
    return best;
  }

  function point(i) {
    if (i !== over) { over = i; soon(); }
    tip.hidden = i === null;
    if (i === null) return;
    tip.textContent = spec.tip(spec.points.id[i], i);
    const beside = at.x[i] + 14 + tip.offsetWidth > width ? at.x[i] - 14 - tip.offsetWidth : at.x[i] + 14;
    tip.style.left = Math.max(0, beside) + "px";
    tip.style.top = Math.max(0, Math.min(height - tip.offsetHeight, at.y[i] - tip.offsetHeight / 2)) + "px";
  }

  const where = event => {
    const box = above.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  above.addEventListener("pointerdown", event => {
    if (event.button !== 0) return;
    const [a, b] = where(event);
    drag = { a, b, to: [a, b], far: false };
    if (event.pointerType === "mouse") above.setPointerCapture(event.pointerId);
  });
  above.addEventListener("pointermove", event => {
    const [a, b] = where(event);
    if (drag && event.pointerType === "mouse") {
      drag.to = [a, b];
      drag.far = Math.abs(a - drag.a) > 8 && Math.abs(b - drag.b) > 8;
      if (drag.far) { point(null); soon(); return; }
    }
    point(nearest(a, b, NEAR));
  });
  above.addEventListener("pointerup", event => {
    const box = drag, [a, b] = where(event);
    drag = null;
    if (box && box.far) return zoomTo(box.a, box.b, a, b);
    const found = box && spec.pick ? nearest(a, b, NEAR) : null;
    if (found !== null) spec.pick(spec.points.id[found]);
    return undefined;
  });
  above.addEventListener("pointerleave", () => point(null));
  above.addEventListener("pointercancel", () => { drag = null; point(null); });
  above.addEventListener("dblclick", reset);
  whole.addEventListener("click", reset);
  figure.addEventListener("keydown", event => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") reset();
    else if (step && spec.pick) { event.preventDefault(); along(step); }
  });

  function zoomTo(a1, b1, a2, b2) {
    const across = a => x.low + (a - left) / (right - left) * (x.high - x.low);
    const upright = b => y.low + (bottom - b) / (bottom - top) * (y.high - y.low);
    const [xs, ys] = [[across(a1), across(a2)], [upright(b1), upright(b2)]].map(pair => pair.sort((p, q) => p - q));
    zoom({ name: x.name, low: xs[0], high: xs[1] }, { name: y.name, low: ys[0], high: ys[1] });
  }

  // The next network of the front to the right or to the left.
  function along(step) {
    const front = [...spec.points.id.keys()].filter(i => spec.points.level[i] === 2);
    const order = front.sort((i, j) => at.x[i] - at.x[j] || i - j);
    const now = order.findIndex(i => spec.points.id[i] === marked);
    const next = order[now < 0 ? 0 : Math.max(0, Math.min(order.length - 1, now + step))];
    if (next !== undefined) spec.pick(spec.points.id[next]);
  }

  const resized = () => figure.clientWidth !== width || figure.clientHeight !== height;
  new ResizeObserver(() => resized() && draw()).observe(figure);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  reset();
  return {
    mark(id, ancestors) { [marked, way] = [id, ancestors]; if (at) soon(); },
    show(changed) { Object.assign(spec, changed); over = null; point(null); reset(); },
    // For tests and measurements: where on the page a point is.
    locate(id) {
      const box = above.getBoundingClientRect(), i = place.get(id);
      return i === undefined ? null : [box.left + at.x[i], box.top + at.y[i]];
    },
  };
}
