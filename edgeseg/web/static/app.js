// The live page: pictures from /api/pictures, figures from /api/state, wishes to /api/control.

import { colour, drawLines, drawStack } from "/charts.js";

const byId = (id) => document.getElementById(id);
const SILENT_MS = 2500; // the server repeats a standing picture each second, so this long without one is a dead connection
const POLL_MS = 1000;
const KEPT_S = 130;

let state = null, points = [], lastPoint = 0, run = null;
let pictureAt = 0, stateAt = 0, pictures = null, busy = false;

// ---- Pictures: one request, multipart parts one after another. While one is drawn no more is read: the server skips.

async function watch() {
  for (let pause = 250; ; pause = Math.min(2 * pause, 4000)) {
    if (document.hidden) await new Promise((wake) => document.addEventListener("visibilitychange", wake, { once: true }));
    pictures = new AbortController();
    pictureAt = performance.now(); // a new connection gets its own time to be silent
    try {
      const answer = await fetch("/api/pictures", { signal: pictures.signal, cache: "no-store" });
      busy = answer.status === 503;
      if (answer.status === 401) location.reload();
      if (answer.ok) await readParts(answer.body.getReader(), () => { pause = 125; });
      else await answer.body.cancel();
    } catch (error) {
      if (!(error instanceof TypeError || error.name === "AbortError")) console.error(error);
    }
    pictures.abort();
    await new Promise((wake) => setTimeout(wake, busy ? 5000 : pause));
  }
}

async function readParts(reader, onPicture) {
  let bytes = new Uint8Array(0);
  const more = async () => {
    const { done, value } = await reader.read();
    if (done) return false;
    const joined = new Uint8Array(bytes.length + value.length);
    joined.set(bytes);
    joined.set(value, bytes.length);
    bytes = joined;
    return true;
  };
  for (;;) {
    let end;
    while ((end = endOfFields(bytes)) < 0) if (!(await more())) return;
    const fields = new TextDecoder().decode(bytes.subarray(0, end));
    const length = Number(/content-length: *(\d+)/i.exec(fields)[1]);
    while (bytes.length < end + length) if (!(await more())) return;
    const jpeg = new Blob([bytes.subarray(end, end + length)], { type: "image/jpeg" });
    bytes = bytes.slice(end + length);
    await draw(jpeg, /x-picture: *(\d+)/i.exec(fields)[1]);
    onPicture();
  }
}

function endOfFields(bytes) {
  for (let at = 3; at < bytes.length; at++)
    if (bytes[at] === 10 && bytes[at - 1] === 13 && bytes[at - 2] === 10 && bytes[at - 3] === 13) return at + 1;
  return -1;
}

async function draw(jpeg, number) {
  const image = await createImageBitmap(jpeg), canvas = byId("picture");
  if (canvas.width !== image.width || canvas.height !== image.height) {
    canvas.width = image.width;
    canvas.height = image.height;
  }
  canvas.getContext("2d").drawImage(image, 0, 0);
  canvas.dataset.number = number;
  image.close();
  pictureAt = performance.now();
  byId("placeholder").hidden = true;
}

// ---- Figures.

async function poll() {
  for (;;) {
    if (!document.hidden) {
      try {
        const answer = await fetch(`/api/state?since=${lastPoint}`, { signal: AbortSignal.timeout(4000), cache: "no-store" });
        if (answer.status === 401) location.reload();
        if (answer.ok) take(await answer.json());
      } catch (error) { /* said by say(), when it has lasted */ }
    }
    await new Promise((wake) => setTimeout(wake, POLL_MS));
  }
}

function take(newest) {
  stateAt = performance.now();
  if (newest.run !== run) { // the server was started anew: its time and numbers begin at zero
    const again = lastPoint > 0;
    [run, points, lastPoint] = [newest.run, [], 0];
    byId("classes").replaceChildren();
    byId("modes").replaceChildren();
    if (again) return;
  }
  state = newest;
  lastPoint = state.last_point;
  for (const [time, fps, age, p95, shares] of state.points) points.push({ time, fps, age, p95, shares });
  points = points.filter((point) => state.now_s - point.time < KEPT_S);
  show();
}

const text = (id, value) => { if (byId(id).textContent !== String(value)) byId(id).textContent = value; };
const fixed = (value, digits) => (value === null ? "–" : value.toFixed(digits));

function show() {
  const { device } = state;
  text("source", `${state.source}${state.runtime.bundle ? ` · ${state.runtime.bundle}` : ""}`);
  const live = state.status === "live";
  text("age", live ? fixed(state.age_ms, 0) : "–");
  const late = state.deadline_ms ? `, ${state.deadline_misses} late` : "";
  text("age95", live ? `p95 ${fixed(state.age_p95_ms, 0)} ms${late}` : lastFrame());
  text("fps", live ? fixed(state.fps, 1) : "0");
  text("dropped", state.captured ? `${((100 * state.dropped) / state.captured).toFixed(1)} % dropped` : "");
  text("temperature", fixed(device.temperatures_c[device.hottest] ?? null, 0));
  text("hottest", device.hottest ?? "no sensor readable here");
  text("power", fixed(device.total_w, 1));
  text("rail", device.total_w === null ? "not measured here" : Object.keys(device.power_w)[0]);
  showControls();
  showHealth();
  showEvents();
  if (document.querySelector("details").open) showTables();
  charts();
  say();
}

const lastFrame = () => (state.since_frame_s === null ? "no frame yet" : `last frame ${state.since_frame_s.toFixed(1)} s ago`);

function charts() {
  if (!state) return;
  drawStack(byId("shares-chart"), points, state.now_s, state.classes.map((entry) => entry.colour));
  drawLines(byId("age-chart"), points, state.now_s, [
    { value: (point) => point.p95, colour: colour("--p95") },
    { value: (point) => point.age, colour: colour("--age") },
  ], 50, state.deadline_ms);
  drawLines(byId("fps-chart"), points, state.now_s, [{ value: (point) => point.fps, colour: colour("--fps") }], 5);
  byId("deadline-key").hidden = !state.deadline_ms;
}

function showControls() {
  byId("pause").setAttribute("aria-pressed", state.paused);
  text("pause", state.paused ? "Resume" : "Pause");
  if (!byId("modes").children.length)
    for (const mode of state.modes) byId("modes").append(button(mode, () => wish({ mode })));
  for (const part of byId("modes").children) part.setAttribute("aria-pressed", part.textContent === state.mode);
  if (!byId("classes").children.length)
    for (const entry of state.classes) byId("classes").append(chip(entry));
  const shares = points.findLast((point) => point.shares.length)?.shares;
  [...byId("classes").children].forEach((part, index) => {
    part.setAttribute("aria-pressed", drawn().includes(state.classes[index].name));
    part.lastChild.textContent = shares ? `${Math.round(100 * shares[index])} %` : "";
  });
}

function button(label, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.addEventListener("click", act);
  return made;
}

function chip({ name, colour: fill }) {
  const made = button("", () => {
    const now = drawn();
    const next = now.includes(name) ? now.filter((other) => other !== name) : [...now, name];
    wish({ classes: next.length === state.classes.length ? null : next });
  });
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const square = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [key, value] of [["width", "100%"], ["height", "100%"], ["fill", fill]]) square.setAttribute(key, value);
  svg.setAttribute("aria-hidden", "true");
  svg.append(square);
  made.append(svg, document.createTextNode(name), document.createElement("b"));
  return made;
}

const drawn = () => state.drawn ?? state.classes.map((entry) => entry.name);

function showHealth() {
  const live = state.status === "live"; // what was so at the last frame says nothing of now
  const chips = live && state.health ? state.health.map((fault) => ["bad", `camera: ${fault.replace("_", " ")}`]) : [];
  if (live && state.health && !chips.length) chips.push(["good", "camera healthy"]);
  if (state.link !== "connected") chips.push(["bad", `source ${state.link}`]);
  if (state.degraded) chips.push(["warn", `degraded: ${state.degraded}`]);
  if (live && state.person_ahead) chips.push(["bad", "person on the road ahead"]);
  const wanted = chips.map(([kind, label]) => Object.assign(document.createElement("span"), { className: kind, textContent: label }));
  if (byId("health").textContent !== chips.map(([, label]) => label).join("")) byId("health").replaceChildren(...wanted);
}

function showEvents() {
  byId("events-card").hidden = !state.events.length;
  byId("events").replaceChildren(...state.events.slice(-6).reverse().map(([at, name]) => {
    const item = document.createElement("li"), time = document.createElement("time");
    time.textContent = `${Math.max(0, Math.round(state.now_s - at))} s ago`;
    item.append(time, name.replace("_", " "));
    return item;
  }));
}

function showTables() {
  const { device, runtime } = state;
  const rows = (object, unit) => Object.entries(object).map(([name, value]) => [name, `${value} ${unit}`]);
  const frames = ["captured", "processed", "dropped", "failed"].map((name) => [name, state[name]]);
  byId("tables").replaceChildren(...[
    ["Frames", [...frames, ["deadline misses", state.deadline_misses], ["reconnects", state.reconnects]]],
    ["Latency of the newest frame", rows(state.stages_ms, "ms")],
    ["Temperature", rows(device.temperatures_c, "°C")],
    ["Power", rows(device.power_w, "W")],
    ["Runs", [...Object.entries(runtime), ["edgeseg", state.version]]],
  ].filter(([, lines]) => lines.length).map(([title, lines]) => {
    const table = document.createElement("table");
    table.createCaption().textContent = title;
    for (const line of lines) {
      const row = table.insertRow();
      for (const cell of line) row.insertCell().textContent = cell;
    }
    return table;
  }));
}

// ---- What is the matter. The page does not trust its own picture: it says when nothing comes any more.

function say() {
  const now = performance.now();
  const lost = now - pictureAt > SILENT_MS && !busy || stateAt && now - stateAt > SILENT_MS + POLL_MS;
  if (lost && now - pictureAt > SILENT_MS && pictures) pictures.abort();
  const shown = byId("picture").dataset.number !== undefined;
  const kind = lost ? "lost" : state?.status ?? "starting";
  let line = "";
  if (lost && (shown || stateAt)) line = "CONNECTION LOST: trying again";
  else if (busy) line = "All places are taken by other browsers: trying again";
  else if (kind === "stale") line = `STALE: no new frame${state.since_frame_s === null ? "" : ` for ${state.since_frame_s.toFixed(1)} s`}`;
  else if (kind === "paused") line = "PAUSED";
  else if (state?.health?.length) line = `CAMERA FAULT: ${state.health.join(", ").replaceAll("_", " ")}`;
  byId("banner").hidden = !line;
  byId("banner").dataset.kind = kind === "paused" && !lost ? "calm" : "bad";
  text("banner", line);
  byId("stage").dataset.state = shown ? kind : "starting";
  byId("status").dataset.status = kind;
  text("status", kind === "lost" ? "no connection" : kind);
}

// ---- Wishes.

async function wish(wanted) {
  const said = byId("notice");
  try {
    const answer = await fetch("/api/control", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wanted),
      signal: AbortSignal.timeout(4000),
    });
    said.hidden = answer.ok;
    if (!answer.ok) said.textContent = await answer.text();
    else if (state) { // shown at once; the next poll brings the truth
      if ("paused" in wanted) Object.assign(state, { paused: wanted.paused, status: wanted.paused ? "paused" : "live" });
      if ("mode" in wanted) state.mode = wanted.mode;
      if ("classes" in wanted) state.drawn = wanted.classes;
      showControls();
      say();
    }
  } catch (error) {
    said.hidden = false;
    said.textContent = "That did not reach the device.";
  }
}

byId("pause").addEventListener("click", () => state && wish({ paused: !state.paused }));
byId("all").addEventListener("click", () => wish({ classes: null }));
byId("none").addEventListener("click", () => wish({ classes: [] }));
document.querySelector("details").addEventListener("toggle", () => state && showTables());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) pictures?.abort(); // a page that nobody sees takes no place and no data
  else pictureAt = stateAt = performance.now();
});
new ResizeObserver(charts).observe(byId("shares-chart"));
matchMedia("(prefers-color-scheme: light)").addEventListener("change", charts);
setInterval(say, 250);
watch();
poll();
