// The live page: asks /api/state every two seconds, and draws what has changed. Everything that comes from the engine
// becomes text nodes and numbers, never markup.
"use strict";

const EVERY_MS = 2000;
const VERDICTS = ["PASSED", "WRONG_ANSWER", "RUNTIME_ERROR", "COMPILE_ERROR", "TIME_LIMIT", "MEMORY_LIMIT",
  "OUTPUT_LIMIT", "SKIPPED", "ENGINE_ERROR"];
const STAGES = [["queue", "wait in the queue"], ["worker", "work on a few programs"], ["call", "whole call"]];
const drawn = {};

function h(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null).map((child) => child instanceof Node ? child : String(child)));
  return made;
}

function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Draws an element anew only when what it shows has changed, so that text on the page can be selected.
function draw(id, data, build) {
  const text = JSON.stringify(data);
  if (drawn[id] === text) return;
  drawn[id] = text;
  const content = build(data);
  document.getElementById(id).replaceChildren(...(Array.isArray(content) ? content : [content]));
}

const count = (n) => Math.round(n).toLocaleString("en");
const several = (n, one, more) => count(n) + " " + (n === 1 ? one : more);
const nothing = (text) => h("p", { class: "nothing" }, text);

function short(n) {
  if (n >= 1e9) return (n / 1e9).toFixed(1) + " G";
  if (n >= 1e6) return (n / 1e6).toFixed(1) + " M";
  return n >= 100 || Number.isInteger(n) ? count(n) : n.toFixed(1);
}

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) { n /= 1024; unit += 1; }
  return (unit && n < 100 ? n.toFixed(1) : Math.round(n)) + " " + units[unit];
}

function span(seconds) {
  if (seconds < 60) return Math.floor(seconds) + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min";
  if (seconds < 172800) return Math.floor(seconds / 3600) + " h " + Math.floor(seconds % 3600 / 60) + " min";
  return Math.floor(seconds / 86400) + " days";
}

function duration(seconds) {
  if (seconds === null) return "–";
  return "≤ " + (seconds < 1 ? Number((seconds * 1000).toPrecision(3)) + " ms" : seconds + " s");
}

function percent(part, whole) {
  if (!whole) return "–";
  const share = 100 * part / whole;
  return (share > 0 && share < 0.1 ? "< 0.1" : share.toFixed(share < 10 ? 1 : 0)) + " %";
}

function table(heads, rows, attributes) {
  const head = h("tr", {}, ...heads.map(([text, numeric]) => h("th", numeric ? { class: "n", scope: "col" } : { scope: "col" }, text)));
  return h("div", { class: "scroll" }, h("table", attributes || {}, h("thead", {}, head), h("tbody", {}, ...rows)));
}

const cell = (text, numeric) => h("td", { class: numeric ? "n" : "word" }, text);
const words = (text) => h("td", { class: "words" }, text);

function status(kind, text) {
  const pill = document.getElementById("status");
  if (pill.textContent !== text) pill.textContent = text;
  pill.className = "pill " + kind;
}

function numbers(state) {
  const busy = state.workers.filter((worker) => worker.state === "busy").length;
  const cache = state.cache;
  const failed = state.verdicts.ENGINE_ERROR || 0;
  const fronts = state.fronts;
  const list = [
    [short(state.rates.submissions), "programs / s, 1 min"],
    [short(state.queue.programs), "queued, " + bytes(state.queue.bytes)],
    [short(state.queue.in_flight), "in flight"],
    [busy + " / " + state.workers.length, "workers busy"],
    [state.rates.cpu_s.toFixed(1), "cores for programs"],
    cache ? [percent(cache.hits, cache.hits + cache.misses), "from cache, " + short(cache.entries) + " kept"] : ["off", "cache"],
    [short(failed), "ENGINE_ERROR", failed > 0],
  ];
  if (fronts.wanted > 1) list.push([fronts.seen - fronts.silent + " / " + fronts.wanted, "fronts, " + several(fronts.restarts, "restart", "restarts"), fronts.seen - fronts.silent < fronts.wanted]);
  return list.map(([value, text, bad]) => h("div", bad ? { class: "bad" } : {}, h("b", {}, value), h("span", {}, text)));
}

function chart(points, unit) {
  if (points.length < 2) return nothing("in a moment");
  const end = points[points.length - 1][0];
  const most = niceTop(Math.max(...points.map((point) => point[1])));
  const x = (t) => (300 - (end - t)).toFixed(1);
  const y = (v) => (100 - 100 * v / most).toFixed(1);
  const line = points.map((point) => x(point[0]) + "," + y(point[1])).join(" ");
  const drawing = svg("svg", { class: "chart", viewBox: "0 0 300 100", preserveAspectRatio: "none", role: "img",
    "aria-label": "now " + short(points[points.length - 1][1]) + " " + unit + ", at most " + short(most) });
  for (const at of [0, 50, 100]) drawing.append(svg("line", { class: "grid", x1: 0, x2: 300, y1: at, y2: at }));
  drawing.append(svg("polygon", { class: "area", points: x(points[0][0]) + ",100 " + line + " 300,100" }));
  drawing.append(svg("polyline", { class: "line", points: line }));
  return h("div", { class: "plot" },
    h("div", { class: "axis" }, h("span", {}, short(most)), h("span", {}, short(most / 2)), h("span", {}, "0")),
    drawing,
    h("div", { class: "times" }, h("span", {}, "5 min ago"), h("span", {}, "now")));
}

function niceTop(n) {
  if (n <= 2) return 2;
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 4, 6, 8, 10].map((step) => step * power).find((top) => top >= n);
}

function workers(list) {
  if (!list.length) return nothing("none yet");
  const tile = (worker) => {
    const restarts = worker.worker_restarts + worker.jail_restarts;
    return h("div", { class: "tile " + worker.state.replace(" ", "-") },
      h("b", {}, worker.number + " " + worker.state + (worker.programs ? " with " + worker.programs : "")),
      h("span", {}, count(worker.graded) + " graded"),
      restarts ? h("span", {}, several(restarts, "restart", "restarts")) : null);
  };
  return h("div", { class: "tiles" }, ...list.map(tile));
}

function verdicts(counts) {
  const all = Object.values(counts).reduce((sum, n) => sum + n, 0);
  if (!all) return nothing("nothing graded yet");
  const rows = VERDICTS.filter((verdict) => counts[verdict]).map((verdict) => {
    const bar = h("div", { class: "bar " + verdict });
    bar.style.width = 100 * counts[verdict] / all + "%";
    return h("tr", {}, cell(verdict), h("td", {}, bar), cell(short(counts[verdict]), true), cell(percent(counts[verdict], all), true));
  });
  return table([["", false], ["", false], ["programs", true], ["share", true]], rows, { class: "bars" });
}

function latency(stages) {
  const rows = STAGES.map(([key, text]) => h("tr", {}, words(text), cell(duration(stages[key].p50), true), cell(duration(stages[key].p95), true)));
  return table([["", false], ["median", true], ["95 %", true]], rows);
}

function calls(list) {
  if (!list.length) return nothing("none yet");
  return table([["method", false], ["code", false], ["calls", true]],
    list.map((call) => h("tr", {}, cell(call.method), cell(call.code), cell(count(call.count), true))));
}

function tenants(list) {
  if (!list.length) return nothing("nobody has called yet");
  const rows = list.map((one) => h("tr", {}, words(one.tenant || "(no name)"), cell(short(one.submissions), true),
    cell(short(one.in_flight), true), cell(short(one.cpu_s) + " s", true), cell(short(one.engine_errors), true)));
  return table([["tenant", false], ["programs", true], ["in flight", true], ["CPU", true], ["ENGINE_ERROR", true]], rows);
}

function errors(list) {
  if (!list.length) return nothing("none");
  const rows = list.map((one) => h("tr", { class: "level-" + one.level }, cell(one.time.slice(0, 19).replace("T", " ")),
    cell(one.level), cell(one.event), words(one.detail + (one.front ? " (front " + one.front + ")" : ""))));
  return table([["time, UTC", false], ["level", false], ["what", false], ["why", false]], rows);
}

function show(state) {
  const facts = state.facts;
  status(state.readiness.ready ? "good" : "bad", state.readiness.ready ? "ready" : "not ready: " + state.readiness.reason);
  const about = ["up " + span(state.now_s - state.started_s)];
  if (facts) about.unshift("version " + facts.version, "image " + facts.image.replace(/(sha256:.{12}).*/, "$1…"));
  draw("about", [about.join(" · "), facts ? facts.image : ""], ([text, image]) => h("span", { title: image }, text));
  draw("tier", facts ? "tier " + facts.tier : "", (text) => text);
  document.getElementById("numbers").replaceChildren(...numbers(state));
  draw("throughput", state.history.map((point) => [point[0], point[1]]), (points) => chart(points, "programs a second"));
  draw("queue", state.history.map((point) => [point[0], point[2]]), (points) => chart(points, "programs"));
  draw("restarts", state.restarts, (restarts) => "restarts: " + several(restarts.workers, "process", "processes") + ", " + several(restarts.jails, "jail", "jails"));
  draw("workers", state.workers, workers);
  draw("verdicts", state.verdicts, verdicts);
  draw("latency", state.latency_s, latency);
  draw("calls", state.calls, calls);
  draw("tenants", state.tenants, tenants);
  draw("protections", facts ? facts.protections : [], (list) => list.length ? h("ul", { class: "chips" }, ...list.map((one) => h("li", {}, one))) : nothing("in a moment"));
  draw("errors", state.errors, errors);
}

let heard = null;

async function ask() {
  try {
    const response = await fetch("/api/state", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!response.ok) throw new Error(String(response.status));
    show(await response.json());
    heard = new Date();
    document.body.classList.remove("stale");
  } catch (error) {
    status("bad", heard ? "no contact since " + heard.toLocaleTimeString() : "no contact");
    document.body.classList.add("stale");
  }
}

async function run() {
  for (;;) {
    if (!document.hidden) await ask();
    await new Promise((wake) => {
      setTimeout(wake, EVERY_MS);
      document.addEventListener("visibilitychange", wake, { once: true });
    });
  }
}

run();
