"use strict";

// The report: charts of the front, and the panel of the network that is picked in any of them. All words that come from
// the run are set as text, never as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const { trials, objectives, columns } = data;
const [upright, ...others] = objectives;
const row = new Map(trials.number.map((number, i) => [number, i]));
const onFront = new Set(data.front);
const highest = trials.rung.reduce((a, b) => Math.max(a, b), 0);
const [titles, limits, values] = [data.titles, data.limits, trials.values].map(named => new Map(Object.entries(named)));
const byId = id => document.getElementById(id);
const title = name => titles.get(name) || name;
const value = (name, i) => name === "trial" ? trials.number[i] : values.get(name)[i];
const charts = [];
let rungs = false, free = null;

function element(kind, words, parent) {
  const made = document.createElement(kind);
  if (words !== undefined) made.textContent = words;
  return parent ? parent.appendChild(made) : made;
}

function button(words, act, parent) {
  const made = element("button", words, parent);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

// The networks that have all these values; of the highest rung only, unless the others are asked for.
function points(x, y, shade) {
  const found = { id: [], x: [], y: [], level: [], shade: shade ? [] : null }, shades = [];
  for (let i = 0; i < trials.number.length; i++) {
    const level = onFront.has(trials.number[i]) ? 2 : trials.rung[i] === highest ? 1 : 0;
    const values = [x, y, shade || y].map(name => value(name, i));
    if ((level === 0 && !rungs) || values.some(v => v === null || v === undefined)) continue;
    found.id.push(trials.number[i]);
    found.x.push(values[0]);
    found.y.push(values[1]);
    found.level.push(level);
    shades.push(bounded(values[2]));
  }
  if (shade) {
    const low = shades.reduce((a, b) => Math.min(a, b), Infinity);
    const high = shades.reduce((a, b) => Math.max(a, b), -Infinity);
    found.shade = shades.map(v => high > low ? (v - low) / (high - low) : 0);
    found.ends = [low, high];
  }
  return found;
}

// The front of two values alone: from left to right, whatever is lower than all before.
function stairs(found) {
  const compared = [...found.id.keys()].filter(i => found.level[i] > 0);
  const order = compared.sort((i, j) => found.x[i] - found.x[j] || found.y[i] - found.y[j]);
  let low = Infinity;
  return order.filter(i => found.y[i] < low && (low = found.y[i], true)).map(i => [found.x[i], found.y[i]]);
}

function tip(number) {
  const i = row.get(number), known = columns.filter(name => value(name, i) !== null);
  const heading = "trial " + number + (onFront.has(number) ? ", on the front" : "");
  return [heading, ...known.map(name => name + "  " + amount(name, value(name, i)))].join("\n");
}

const axis = name => ({ name, title: title(name), limit: limits.get(name) });
const label = (x, y) => `${title(y)} against ${title(x)}. Arrow keys go along the front, Escape shows all of it.`;

// The last chart, whose axes and colour can be chosen.
function freeSpec() {
  const { x, y, shade } = free;
  return { x: axis(x), y: axis(y), shade: axis(shade), points: points(x, y, shade), label: label(x, y) };
}

function drawCharts() {
  const place = byId("charts");
  for (const across of others.length ? others : ["trial"]) {
    const found = points(across, upright);
    const spec = { x: axis(across), y: axis(upright), points: found, tip, pick, label: label(across, upright) };
    charts.push(chart(place, { ...spec, stairs: across === "trial" ? null : stairs(found) }));
  }
  if (others.length > 1) {
    free = { x: others[0], y: others[1], shade: upright };
    charts.push(chart(place, { ...freeSpec(), tip, pick }));
  }
  legend(byId("legend"));
}

function legend(keys) {
  const key = (shape, words) => {
    const entry = element("span", undefined, keys);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("width", 22);
    svg.setAttribute("height", 14);
    const [kind, name, places] = shape, drawn = document.createElementNS("http://www.w3.org/2000/svg", kind);
    Object.entries(places).forEach(([attribute, number]) => drawn.setAttribute(attribute, number));
    drawn.setAttribute("class", name);
    svg.append(drawn);
    entry.append(svg, words);
  };
  key(["circle", "key-best", { cx: 11, cy: 7, r: 5 }], "Pareto front");
  key(["circle", "key-dot", { cx: 11, cy: 7, r: 3.5 }], "other networks");
  if (others.length) key(["path", "key-best", { d: "M0 7H22" }], "front of these two");
  const dashed = ["path", "key-line", { d: "M11 0V14", "stroke-dasharray": "4 3" }];
  if (objectives.some(name => limits.has(name))) key(dashed, "limit");
  element("span", "Point at a network for its values, click it for its cells; drag to zoom.", keys);
}

// What can be chosen beside a point: some networks by name, any by number, other rungs, the axes of the last chart.
function drawChoices() {
  const place = byId("choices");
  place.hidden = false;
  element("label", "Show", place);
  button("the knee", () => pick(data.knee), place);
  for (const name of objectives) {
    const least = data.front.reduce((a, b) => value(name, row.get(b)) < value(name, row.get(a)) ? b : a);
    button("least " + name, () => pick(least), place);
  }
  const number = element("input", undefined, element("label", "trial ", place));
  number.type = "number";
  number.addEventListener("change", () => {
    const wanted = number.valueAsNumber;  // NaN where nothing is written
    number.setCustomValidity(wanted >= 0 && !row.has(wanted) ? `Trial ${wanted} was not rated, or is not on this page.` : "");
    if (number.reportValidity()) pick(wanted);
  });
  if (new Set(trials.rung).size > 1) {
    const lower = element("label", "", place), box = element("input", undefined, lower);
    box.type = "checkbox";
    lower.append(" also networks of lower rungs, whose values do not compare");
    box.addEventListener("change", () => { rungs = box.checked; redraw(); });
  }
  if (free === null) return;
  for (const [role, words] of [["x", "last chart: across"], ["y", "up"], ["shade", "colour"]]) {
    const select = element("select", undefined, element("label", words + " ", place));
    for (const name of ["trial", ...columns]) element("option", name, select).selected = name === free[role];
    select.addEventListener("change", () => { free[role] = select.value; redraw(); });
  }
}

function redraw() {
  (others.length ? others : ["trial"]).forEach((across, k) => charts[k].show({ points: points(across, upright) }));
  if (free) charts.at(-1).show(freeSpec());
}

function pick(number) {
  const i = row.get(number);
  if (i === undefined) return;
  byId("panel").hidden = false;
  const place = number === data.knee ? ": the knee of the front" : onFront.has(number) ? ": on the front" : "";
  byId("picked").textContent = "Trial " + number + place;
  byId("standing").textContent = standing(number, i);
  const list = byId("values");
  list.replaceChildren();
  for (const name of columns.filter(known => value(known, i) !== null)) {
    const line = element("tr", undefined, list);
    element("td", title(name), line);
    element("td", amount(name, value(name, i)), line);
    element("td", SHARES.includes(name) ? "" : exact(value(name, i)), line).className = "quiet";
  }
  commands(number, i);
  const way = lineage(number);
  byId("cells").replaceChildren();
  const drawn = byId("cells-" + number);
  if (drawn) byId("cells").append(drawn.content.cloneNode(true));
  else element("p", "Its cells: the command above draws them.", byId("cells")).className = "quiet";
  document.querySelectorAll("tr.picked").forEach(line => line.classList.remove("picked"));
  document.querySelectorAll(`tr[data-trial="${number}"]`).forEach(line => line.classList.add("picked"));
  charts.forEach(made => made.mark(number, way));
}

function standing(number, i) {
  const words = [];
  if (highest > 0) words.push("rung " + trials.rung[i]);
  if (trials.seconds[i]) words.push("rated in " + amount("", trials.seconds[i]) + " s");
  if (trials.note[i]) words.push(trials.note[i]);
  if (trials.rung[i] === highest && !onFront.has(number)) {
    const better = data.front.filter(other => {
      const pairs = objectives.map(name => [value(name, row.get(other)), value(name, i)]);
      return pairs.every(([a, b]) => a <= b) && pairs.some(([a, b]) => a < b);
    });
    const more = better.length > 8 ? ` and ${better.length - 8} more` : "";
    if (better.length) words.push(`dominated by ${better.slice(0, 8).join(", ")}${more} of the front`);
  }
  return words.join("; ");
}

function commands(number, i) {
  const place = byId("commands");
  place.replaceChildren();
  const genotype = trials.genotype[i];
  const json = JSON.stringify(data.architecture ? { ...data.architecture, genotype } : genotype);
  for (const [verb, options] of [["train", ""], ["show", " --svg cells.svg"]]) {
    const words = `frugalnas ${verb} ${data.run} --trial ${number}${options}`, code = element("code");
    for (const word of words.split(" ")) code.append(element("span", word), " ");  // breaks between words, not at "--"
    copyable(code, words, place);
  }
  const name = "the architecture as JSON, from which frugalnas.create_model makes the network";
  copyable(element("span", data.architecture ? name : "its genotype"), json, place);
}

function copyable(shown, text, parent) {
  const line = element("div", undefined, parent);
  line.className = "command";
  line.append(shown);
  shown.title = text;
  const made = button("copy", async () => {
    try {
      await navigator.clipboard.writeText(text);
      made.textContent = "copied";
      setTimeout(() => { made.textContent = "copy"; }, 1500);
    } catch {
      shown.textContent = text;  // where a page may not copy, or has no clipboard, its reader can
    }
  }, line);
}

// The generations before a network, each with the trials that are new in it.
function generations(number) {
  const seen = new Set([number]), found = [];
  for (let now = [number]; now.length;) {
    const parents = now.flatMap(one => row.has(one) ? trials.parents[row.get(one)] : []);
    const before = new Set(parents.filter(one => !seen.has(one)));
    before.forEach(one => seen.add(one));
    if (before.size) found.push([...before]);
    now = [...before];
  }
  return found;
}

// From a network to a root: of the parents always the one with the lower first objective.
function betterLine(number) {
  const line = [number], error = one => value(upright, row.get(one)) ?? Infinity;
  for (;;) {
    const known = trials.parents[row.get(line.at(-1))].filter(one => row.has(one) && !line.includes(one));
    if (!known.length) return line;
    line.push(known.reduce((a, b) => error(b) < error(a) ? b : a));
  }
}

function lineage(number) {
  const place = byId("lineage"), found = generations(number);
  place.replaceChildren();
  if (!found.length) {
    element("p", "A root: it was not bred from other networks.", place).className = "quiet";
    return [];
  }
  const names = ["parents", "grandparents"];
  found.slice(0, 2).forEach((kin, generation) => chips(names[generation], kin, 6, ", ", place));
  const line = betterLine(number);
  const shown = line.length > 9 ? [...line.slice(1, 6), null, ...line.slice(-2)] : line.slice(1);
  if (line.length > 2) chips("by the better parent, to a root", shown, 12, " ← ", place);
  const all = found.reduce((sum, kin) => sum + kin.length, 0);
  const plural = (count, noun) => count + " " + noun + (count === 1 ? "" : "s");
  const sum = plural(all, "ancestor") + " in " + plural(found.length, "generation");
  element("p", sum + "; the line in the charts is that of the better parents", place).className = "quiet";
  return line;
}

function chips(words, kin, most, between, parent) {
  element("div", words, parent).className = "quiet";
  const place = element("div", undefined, parent);
  place.className = "kin";
  kin.slice(0, most).forEach((number, k) => {
    if (k && between === " ← ") element("span", "←", place);
    if (number === null) element("span", "…", place);
    else if (!row.has(number)) element("span", number + " (not rated)", place);
    else {
      const name = number + " · " + amount(upright, value(upright, row.get(number)));
      button(name, () => pick(number), place).title = tip(number);
    }
  });
  if (kin.length > most) element("span", "and " + (kin.length - most) + " more", place);
}

function drawGrowth() {
  const { rated, shares } = data.growth;
  const flat = { id: rated, x: rated, y: shares, level: rated.map(() => 3), shade: null };
  const corners = rated.map((count, k) => [count, shares[k]]);
  chart(byId("growth"), {
    x: { name: "rated", title: "networks rated" }, y: { name: "share", title: "hypervolume" },
    points: flat, stairs: corners, move: true,
    tip: (count, k) => `after ${count} networks\nhypervolume  ${amount("share", shares[k])}`,
    label: `Hypervolume against the number of rated networks; at the end ${amount("share", shares.at(-1))}.`,
  });
}

document.querySelectorAll("button[data-trial]").forEach(made => {
  made.addEventListener("click", () => {
    pick(Number(made.dataset.trial));
    byId("panel").scrollIntoView({ block: "nearest" });
  });
});
if (data.front.length) {
  drawCharts();
  drawChoices();
  const wanted = Number(location.hash.replace("#trial-", "") || NaN);
  pick(row.has(wanted) ? wanted : data.knee);
}
if (data.growth) drawGrowth();
