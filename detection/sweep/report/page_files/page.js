"use strict";
// Everything that comes from the rows reaches the page as text (textContent, setAttribute), never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const byName = Object.fromEntries(data.quantities.map((quantity) => [quantity.name, quantity]));
const find = (id) => document.getElementById(id);
const state = { hidden: new Set(), chosen: null, focus: null, sort: null, down: false, limits: { time: Infinity, memory: Infinity }, best: null };

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null).map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

function svg(name, attributes, text = null) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  return made;
}

function shown(value, quantity) {
  if (value === null || value === undefined) return "–";
  if (!quantity.less) return value.toFixed(3);
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
}

const label = (quantity) => (quantity.unit ? `${quantity.label} [${quantity.unit}]` : quantity.label);
const named = (table, name) => (Object.hasOwn(table, name) ? table[name] : name); // Names come from data: "constructor" is one like any other.
const known = (row, name) => row.values[name] !== null && row.values[name] !== undefined;

// Rows ------------------------------------------------------------------------------------------------------------------------------------------

function visible() {
  const device = find("device").value;
  return data.rows.filter((row) => (row.device === device || !row.device) && !state.hidden.has(`meta ${row.meta}`) && !state.hidden.has(`extractor ${row.extractor}`));
}

const fits = (row) => Object.entries(state.limits).every(([name, limit]) => limit === Infinity || (known(row, name) && row.values[name] <= limit));

function judge() {
  const upwards = byName[find("y").value];
  if (!upwards.less) return upwards;
  return data.quantities.find((quantity) => !quantity.less && data.rows.some((row) => known(row, quantity.name))) ?? null;
}

function bestOf(rows, metric) {
  const better = (one, other) => one.values[metric.name] - other.values[metric.name] || (other.values.time ?? Infinity) - (one.values.time ?? Infinity);
  return rows.reduce((best, row) => (known(row, metric.name) && (best === null || better(row, best) > 0) ? row : best), null);
}

function nearest(rows) {
  const over = (row) => Math.max(...Object.entries(state.limits).map(([name, limit]) => (limit === Infinity ? 0 : known(row, name) ? row.values[name] / limit : Infinity)));
  return rows.reduce((best, row) => (over(row) < Infinity && (best === null || over(row) < over(best)) ? row : best), null);
}

// No other is at least as good in both and better in one; of equal ones the first.
function frontier(rows, x, y) {
  const sign = (quantity) => (quantity.less ? 1 : -1);
  const order = rows.slice().sort((one, other) => sign(x) * (one.values[x.name] - other.values[x.name]) || sign(y) * (one.values[y.name] - other.values[y.name]));
  const on = [];
  for (const row of order) if (!on.length || sign(y) * (row.values[y.name] - on[on.length - 1].values[y.name]) < 0) on.push(row);
  return on;
}

// Details ---------------------------------------------------------------------------------------------------------------------------------------

function copyable(text) {
  const pre = element("pre", {}, text);
  const copy = () => {
    getSelection().selectAllChildren(pre);
    document.execCommand("copy");
  };
  return element("div", { class: "command" }, pre, element("button", { type: "button", onclick: copy }, "copy"));
}

function card(row, heading, close = null) {
  const numbers = data.quantities.filter((quantity) => known(row, quantity.name)).map((quantity) => {
    const spread = quantity.name === "time" && row.spread ? ` (${row.spread.map((value) => shown(value, quantity)).join(" to ")})` : "";
    return element("li", {}, `${quantity.label} `, element("b", {}, shown(row.values[quantity.name], quantity)), ` ${quantity.unit}${spread}`);
  });
  const parts = Object.entries(row.parts).map(([name, value]) => element("li", {}, `${name.replaceAll("_", " ")} `, element("b", {}, shown(value, byName.time)), " ms"));
  return element("div", { "data-id": row.id },
    element("h3", {}, heading ? `${heading}: ` : "", row.title, " ", close),
    element("ul", { class: "numbers" }, ...numbers),
    parts.length ? element("ul", { class: "numbers quiet" }, ...parts) : null,
    element("div", { class: "quiet" }, `${row.id}${row.weights ? `, with the weights of ${row.weights}` : ""}; config ${row.config || "not named"}`),
    row.command ? copyable(row.command) : null,
    row.text ? element("details", {}, element("summary", {}, "its config"), copyable(row.text)) : null);
}

function showBest(rows) {
  const metric = judge();
  const timed = rows.filter((row) => known(row, "time"));
  state.best = metric ? bestOf(rows.filter(fits), metric) : null;
  const limits = Object.entries(state.limits).filter(([, limit]) => limit < Infinity).map(([name, limit]) => `${shown(limit, byName[name])} ${byName[name].unit}`);
  const within = limits.length ? `within ${limits.join(" and ")}` : "without a limit";
  const close = metric ? nearest(rows.filter((row) => known(row, metric.name))) : null;
  if (state.best) find("best").replaceChildren(card(state.best, `best ${metric.label} ${within}`));
  else if (!metric) find("best").replaceChildren(element("p", {}, `${timed.filter(fits).length} of ${timed.length} timed configurations fit ${within}; no accuracy was measured, so none is the best.`));
  else if (close) find("best").replaceChildren(element("p", {}, `Nothing shown fits ${within}. The nearest:`), card(close, ""));
  else find("best").replaceChildren(element("p", {}, "Nothing is shown."));
}

function showChosen() {
  const row = data.rows.find((one) => one.id === state.chosen);
  const close = element("button", { type: "button", "aria-label": "close these details", onclick: () => choose(null) }, "×");
  find("chosen").replaceChildren(...(row ? [card(row, "", close)] : []));
}

function choose(id) {
  state.chosen = id;
  showChosen();
  update();
}

// Scatter ---------------------------------------------------------------------------------------------------------------------------------------

const SHAPES = {
  ssd: (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0Z`,
  faster_rcnn: (r) => `M${-r},${-r}H${r}V${r}H${-r}Z`,
  rfcn: (r) => `M0,${-1.2 * r}L${1.15 * r},${r}H${-1.15 * r}Z`,
  fast_rcnn: (r) => `M0,${-1.3 * r}L${1.3 * r},0L0,${1.3 * r}L${-1.3 * r},0Z`,
};
const other = (r) => `M${-r},${-0.4 * r}L0,${-1.1 * r}L${r},${-0.4 * r}L${0.7 * r},${r}H${-0.7 * r}Z`;

function glyph(meta, extractor, size = 5.5) {
  const look = (Object.hasOwn(data.looks, extractor) ? data.looks[extractor] : null) ?? { color: "#888888", fill: "full" };
  const color = look.color === "#000000" ? "var(--ink)" : `color-mix(in srgb, ${look.color}, white var(--lift))`;
  return svg("path", { d: (Object.hasOwn(SHAPES, meta) ? SHAPES[meta] : other)(size), fill: look.fill === "full" ? color : look.fill === "none" ? "var(--card)" : `color-mix(in srgb, ${color} 45%, var(--card))`,
    stroke: look.fill === "full" ? "var(--card)" : color, "stroke-width": look.fill === "full" ? 0.8 : 2 });
}

function scale(values, quantity, from, to) {
  let low = Math.min(...values), high = Math.max(...values);
  const log = find("log").checked && quantity.less && low > 0;
  const into = log ? Math.log10 : (value) => value, out = log ? (value) => 10 ** value : (value) => value;
  let a = into(low), b = into(high);
  const margin = (b - a || Math.abs(b) || 1) * 0.06;
  [a, b] = [a - margin, b + margin];
  const ticks = [];
  if (log && b - a > 0.6) {
    const steps = b - a > 3.2 ? [1] : b - a > 1.2 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7];
    for (let power = Math.floor(a); power <= b; power++) for (const step of steps) ticks.push(step * 10 ** power);
  } else {
    [low, high] = [out(a), out(b)];
    const rough = (high - low) / 6, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((one) => one * power >= rough) * power;
    for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) ticks.push(Number(tick.toPrecision(12)));
  }
  const at = (value) => from + ((into(value) - a) / (b - a)) * (to - from);
  return { at, ticks: ticks.filter((tick) => into(tick) >= a && into(tick) <= b) };
}

function draw(rows) {
  const plot = find("plot"), x = byName[find("x").value], y = byName[find("y").value];
  const width = find("frame").clientWidth, height = Math.max(300, Math.min(560, width * 0.6));
  plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
  plot.replaceChildren();
  const on = rows.filter((row) => known(row, x.name) && known(row, y.name));
  state.drawn = [];
  const missing = rows.length - on.length;
  find("words").textContent = `${on.length} configuration${on.length === 1 ? "" : "s"}${missing ? `; ${missing} without both numbers` : ""}. Dashed: the frontier, where one is better only at the cost of the other.`;
  if (!on.length) return void plot.append(svg("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "nothing to show: no configuration has both numbers"));
  const box = { left: 62, right: width - 14, top: 12, bottom: height - 46 };
  const across = scale(on.map((row) => row.values[x.name]), x, box.left, box.right), upwards = scale(on.map((row) => row.values[y.name]), y, box.bottom, box.top);
  const text = (tick) => Number(tick.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 6 });
  let last = -Infinity;
  for (const tick of across.ticks) {
    const place = across.at(tick);
    plot.append(svg("line", { class: "grid", x1: place, x2: place, y1: box.top, y2: box.bottom }));
    if (place - last > 44) plot.append(svg("text", { x: (last = place), y: box.bottom + 17, "text-anchor": "middle" }, text(tick)));
  }
  for (const tick of upwards.ticks) {
    const place = upwards.at(tick);
    plot.append(svg("line", { class: "grid", x1: box.left, x2: box.right, y1: place, y2: place }));
    plot.append(svg("text", { x: box.left - 7, y: place + 4, "text-anchor": "end" }, text(tick)));
  }
  plot.append(svg("text", { class: "name", x: (box.left + box.right) / 2, y: height - 8, "text-anchor": "middle" }, label(x)));
  plot.append(svg("text", { class: "name", transform: `translate(14 ${(box.top + box.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, label(y)));
  const line = frontier(on, x, y).map((row) => `${across.at(row.values[x.name])},${upwards.at(row.values[y.name])}`);
  if (x !== y) plot.append(svg("polyline", { class: "frontier", points: line.join(" ") }));
  for (const [name, limit] of Object.entries(state.limits)) {
    const vertical = across.at(limit), horizontal = upwards.at(limit);
    if (name === x.name && vertical > box.left && vertical < box.right) plot.append(svg("line", { class: "limit", x1: vertical, x2: vertical, y1: box.top, y2: box.bottom }));
    if (name === y.name && horizontal > box.top && horizontal < box.bottom) plot.append(svg("line", { class: "limit", x1: box.left, x2: box.right, y1: horizontal, y2: horizontal }));
  }
  for (const row of on) {
    const place = { row, x: across.at(row.values[x.name]), y: upwards.at(row.values[y.name]) };
    state.drawn.push(place);
    const mark = glyph(row.meta, row.extractor);
    mark.setAttribute("transform", `translate(${place.x} ${place.y})`);
    mark.setAttribute("class", fits(row) ? "point" : "point out");
    mark.setAttribute("data-id", row.id);
    plot.append(mark);
    if (row === state.best) plot.append(svg("circle", { class: "ring best", cx: place.x, cy: place.y, r: 11 }));
    if (row.id === state.chosen || row === state.focus) plot.append(svg("circle", { class: "ring", cx: place.x, cy: place.y, r: 9 }));
  }
  state.drawn.sort((one, two) => one.x - two.x || one.y - two.y);
}

function hover(place) {
  const tip = find("tip");
  tip.hidden = !place;
  if (!place) return;
  const numbers = ["map", find("x").value, find("y").value, "time", "memory"].filter((name, index, all) => all.indexOf(name) === index && known(place.row, name));
  tip.replaceChildren(element("b", {}, place.row.title), ...numbers.map((name) => element("div", {}, `${byName[name].label} ${shown(place.row.values[name], byName[name])} ${byName[name].unit}`)));
  tip.style.left = "0"; // Where it has room, so that its width is its own.
  const room = find("frame").clientWidth;
  tip.style.left = `${Math.max(0, Math.min(place.x + 14, room - tip.offsetWidth - 4))}px`;
  tip.style.top = `${place.y + 14 + tip.offsetHeight > find("frame").clientHeight ? place.y - tip.offsetHeight - 12 : place.y + 14}px`;
}

function near(event) {
  const frame = find("frame").getBoundingClientRect();
  const away = (place) => Math.hypot(place.x - (event.clientX - frame.left), place.y - (event.clientY - frame.top));
  const closest = (state.drawn ?? []).reduce((best, place) => (best === null || away(place) < away(best) ? place : best), null);
  return closest && away(closest) < 24 ? closest : null;
}

// Table -----------------------------------------------------------------------------------------------------------------------------------------

const TEXT_COLUMNS = [["title", "Configuration"], ["resolution", "px"], ["stride", "Stride"], ["proposals", "Proposals"]];

function cell(row, column) {
  return column in byName ? row.values[column] ?? null : row[column];
}

function table(rows) {
  const columns = [...TEXT_COLUMNS, ...data.quantities.filter((one) => data.rows.some((row) => known(row, one.name))).map((one) => [one.name, label(one)])];
  const head = element("tr", {}, ...columns.map(([name, words]) => {
    const sorted = state.sort === name;
    const sort = () => {
      state.down = sorted ? !state.down : name in byName && !byName[name].less;
      state.sort = name;
      update();
      find("table").querySelector(`th[data-column="${name}"] button`).focus();
    };
    return element("th", { scope: "col", "data-column": name, "aria-sort": sorted ? (state.down ? "descending" : "ascending") : "none" },
      element("button", { type: "button", onclick: sort }, `${words}${sorted ? (state.down ? " ▼" : " ▲") : ""}`));
  }));
  const order = rows.slice().sort((one, two) => {
    const [a, b] = [cell(one, state.sort), cell(two, state.sort)];
    if (a === null || b === null) return (a === null) - (b === null); // Those without stand last in either direction.
    return (state.down ? -1 : 1) * (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
  });
  const body = order.map((row) => element("tr", { "data-id": row.id, class: row === state.best ? "best" : fits(row) ? null : "out" },
    element("td", {}, element("button", { type: "button", onclick: () => choose(row.id) }, row.title)),
    ...columns.slice(1).map(([name]) => element("td", {}, name in byName ? shown(row.values[name], byName[name]) : row[name] ?? "–"))));
  find("table").tHead.replaceChildren(head);
  find("table").tBodies[0].replaceChildren(...body);
}

// Controls --------------------------------------------------------------------------------------------------------------------------------------

function range(name) {
  const values = visible().filter((row) => known(row, name) && row.values[name] > 0).map((row) => row.values[name]);
  return values.length ? [Math.min(...values), Math.max(...values)] : null;
}

function limit(name, value) {
  state.limits[name] = value;
  const ends = range(name), slider = find(name);
  slider.disabled = !ends;
  const share = !ends || value === Infinity ? 1 : ends[0] === ends[1] ? Number(value >= ends[0]) : Math.log(value / ends[0]) / Math.log(ends[1] / ends[0]);
  slider.value = Math.round(1000 * Math.min(Math.max(share, 0), 1));
  slider.setAttribute("aria-valuetext", value === Infinity ? "no limit" : `${shown(value, byName[name])} ${byName[name].unit}`);
}

function roundedUp(value) { // to three digits; what has no more than these stays, however it was computed
  const step = 10 ** (Math.floor(Math.log10(value)) - 2);
  return Number((Math.ceil(value / step - 1e-9) * step).toPrecision(3));
}

function slid(name) {
  const ends = range(name), share = find(name).value / 1000;
  const value = share >= 1 ? Infinity : roundedUp(ends[0] * (ends[1] / ends[0]) ** share); // So that the left end still holds the smallest.
  limit(name, value);
  find(`${name}-number`).value = value === Infinity ? "" : value;
  update();
}

function legend() {
  const entries = (kind) => [...new Set(data.rows.map((row) => row[kind]))];
  const button = (kind, name, words, mark) => {
    const key = `${kind} ${name}`;
    const toggle = () => {
      if (!state.hidden.delete(key)) state.hidden.add(key);
      pressed.setAttribute("aria-pressed", String(!state.hidden.has(key)));
      for (const one of ["time", "memory"]) limit(one, state.limits[one]);
      update();
    };
    const picture = svg("svg", { width: 16, height: 16, viewBox: "-8 -8 16 16", "aria-hidden": "true" });
    picture.append(mark);
    const pressed = element("button", { type: "button", "aria-pressed": "true", "data-key": key, onclick: toggle }, picture, words);
    return pressed;
  };
  const metas = entries("meta").map((name) => button("meta", name, named(data.metas, name), glyph(name, "")));
  const extractors = entries("extractor").map((name) => button("extractor", name, named(data.extractors, name), glyph("ssd", name)));
  find("legend").append(...metas, element("span", { class: "gap" }), ...extractors);
}

function fill() {
  const present = data.quantities.filter((one) => data.rows.some((row) => known(row, one.name)));
  for (const id of ["x", "y"]) find(id).append(...(present.length ? present : data.quantities).map((one) => element("option", { value: one.name }, label(one))));
  const pick = (wanted) => wanted.find((name) => present.some((one) => one.name === name)) ?? data.quantities[0].name;
  find("x").value = pick(["time", "memory", "gflops"]);
  find("y").value = pick(["map", "map50", "voc50", "memory", "gflops"]);
  state.sort = find("y").value;
  state.down = !byName[state.sort].less;
  const devices = data.devices.length ? data.devices : [""];
  find("device").append(...devices.map((name) => element("option", { value: name }, name || "nothing timed")));
  find("device-field").hidden = devices.length < 2;
  find("about").textContent = data.about;
  find("failed").hidden = !data.failed.length;
  find("failed-title").textContent = `Failed: ${data.failed.length}`;
  find("failed").querySelector("dl").append(...data.failed.flatMap((row) => [element("dt", {}, `${row.title} (${row.id})`), element("dd", {}, row.reason || "no reason was noted")]));
}

function update() {
  const rows = visible();
  if (state.focus && !rows.includes(state.focus)) state.focus = null;
  showBest(rows);
  draw(rows);
  table(rows);
}

function keys(event) {
  const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
  const at = state.drawn.findIndex((place) => place.row === state.focus);
  if (step && state.drawn.length) {
    const next = state.drawn[Math.min(Math.max(at < 0 ? (step > 0 ? 0 : state.drawn.length - 1) : at + step, 0), state.drawn.length - 1)];
    state.focus = next.row;
    draw(visible());
    hover(next);
  } else if ((event.key === "Enter" || event.key === " ") && at >= 0) choose(state.focus.id);
  else if (event.key === "Escape") {
    state.focus = null;
    hover(null);
    choose(null);
  } else return;
  event.preventDefault();
}

fill();
legend();
for (const name of ["time", "memory"]) {
  limit(name, Infinity);
  find(name).addEventListener("input", () => slid(name));
  find(`${name}-number`).addEventListener("input", (event) => {
    limit(name, event.target.valueAsNumber > 0 ? event.target.valueAsNumber : Infinity);
    update();
  });
}
for (const id of ["x", "y", "log"]) find(id).addEventListener("change", update);
find("device").addEventListener("change", () => {
  for (const name of ["time", "memory"]) limit(name, state.limits[name]);
  update();
});
find("plot").addEventListener("pointermove", (event) => hover(near(event)));
find("plot").addEventListener("pointerleave", () => hover(null));
find("plot").addEventListener("click", (event) => {
  const place = near(event);
  if (place) choose(place.row.id);
});
find("plot").addEventListener("keydown", keys);
find("plot").addEventListener("blur", () => hover(null));
new ResizeObserver(() => {
  hover(null);
  draw(visible());
}).observe(find("frame"));
update();
