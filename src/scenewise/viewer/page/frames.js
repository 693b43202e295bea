/** The frame on show: pictures, slots, numbers, and how one moves through the video. */
import { $, announce, facts, make, number, report, rgb, state, tone } from "./context.js";
import { ask, pictures } from "./link.js";
import { heat, paint, paintIds, paintLabels, paintObjects, paintPicture, paintSlot, paintSpread } from "./paint.js";
import { follow } from "./trails.js";

const layers = { outlines: true, numbers: true, trails: true };
const panel = (name) => $(`panel-${name}`).querySelector("canvas");
const tiles = [];
let newest = -1; // of a camera: the next one is whatever comes
const listeners = new Set(); // told of every new frame
export const onFrame = (tell) => listeners.add(tell);

/** Go to a frame; while one is on its way, only the newest wish counts. */
export async function go(at, quiet = false) {
  const last = report.frames ? report.frames - 1 : Infinity;
  if (facts.live) at = Math.min(at, newest + 1);
  const wish = state.wish = Math.min(Math.max(at, 0), last);
  $("slider").value = wish;
  const head = await ask("frame", { number: wish, spread: !state.playing, source: !state.playing });
  if (!head) { // it cannot be had, or something else is wanted by now
    if (state.wish === wish) $("slider").value = state.wish = state.at;
    return false;
  }
  state.at = wish;
  const d = pictures(head);
  d.photograph = head.data.source ? await createImageBitmap(new Blob([head.data.source.values], { type: "image/jpeg" })) : null;
  newest = Math.max(newest, state.at);
  take(head, d);
  for (const tell of listeners) tell(head, d);
  if (!quiet) announce(`Frame ${head.index}`);
  return true;
}

/** Show a frame of the source before there is a model to take it apart. */
export async function glance(head) {
  const picture = await createImageBitmap(new Blob([head.data.source.values], { type: "image/jpeg" }));
  document.documentElement.style.setProperty("--aspect", String(head.aspect));
  panel("objects").width = picture.width;
  panel("objects").height = picture.height;
  panel("objects").getContext("2d").drawImage(picture, 0, 0);
  $("slider").max = head.frames ? head.frames - 1 : head.number;
  $("slider").value = head.number;
  $("last-number").textContent = head.frames ? ` of ${head.frames - 1}` : "";
  for (const node of document.querySelectorAll(".frame-number")) node.textContent = head.number;
  $("player").inert = true;
  $("player").hidden = head.frames === 1;
  $("room-frames").hidden = false;
}

function take(head, d) {
  const changed = report.slots !== d.slots;
  Object.assign(report, { slots: d.slots, width: d.width, height: d.height, roles: head.roles, judged: head.roles[0] !== "not judged" });
  report.colours = facts.colours.map((_, k) => tone(k));
  report.numbers = head.roles.map((role, k) => (role === "background" ? 0 : k + 1));
  report.ids = d.ids ? matched(d) : {};
  follow(head, d);
  state.decoded = d;
  state.head = head;
  state.scale = Math.max(state.scale, d.frame.peak);
  if (changed || tiles.length !== d.slots) makeTiles();
  document.documentElement.style.setProperty("--aspect", String(report.aspect));
  show();
  describe(head);
}

/** True id -> the slot that shares most pixels with it, each slot once. */
function matched({ ids, labels }) {
  const counts = new Map();
  ids.forEach((id, i) => { if (id !== 255) { const key = id * 256 + labels[i]; counts.set(key, (counts.get(key) || 0) + 1); } });
  const found = {}, used = new Set();
  for (const [key] of [...counts].sort((a, b) => b[1] - a[1])) {
    const id = Math.floor(key / 256), slot = key % 256;
    if (id in found || used.has(slot)) continue;
    found[id] = slot;
    used.add(slot);
  }
  for (const key of counts.keys()) if (!(Math.floor(key / 256) in found)) found[Math.floor(key / 256)] = -1;
  return found;
}

export function show() {
  const d = state.decoded;
  if (!d) return;
  paintObjects(panel("objects"), d, layers);
  paintPicture(panel("input"), d, d.input);
  paintLabels(panel("slots"), d);
  paintPicture(panel("reconstruction"), d, d.reconstruction);
  $("panel-ids").hidden = !d.ids;
  if (d.ids) paintIds(panel("ids"), d);
  if (d.frame.peak) { // while playing nobody waits for it, and the last one stays
    $("panel-uncertainty").hidden = false;
    paintSpread(panel("uncertainty"), d);
    $("peak").textContent = number(state.scale, 2);
  }
  tiles.forEach((tile, k) => paintAlone(tile.canvas, d, k));
}

function paintAlone(canvas, d, k) {
  if (state.view !== "share") return paintSlot(canvas, d, k);
  const share = (d.shares || d.masks)[k];
  paint(canvas, (i, out, o) => { for (let c = 0; c < 3; c++) out[o + c] = heat[3 * share[i] + c]; });
}

function describe(head) {
  for (const node of document.querySelectorAll(".frame-number")) node.textContent = head.index;
  document.querySelector(".frame-time").textContent = head.time === null ? "" : `${head.time.toFixed(2)} s`;
  $("slider").setAttribute("aria-valuetext", `Frame ${head.index}`);
  $("note").hidden = !head.note;
  $("note").textContent = head.note;
  $("verdict").hidden = report.judged;
  $("verdict").querySelector("p").textContent = head.message;
  const rows = { "squared error": head.mse, "NLL, nats": head.nll, "KL, nats": head.kl };
  $("frame-numbers").replaceChildren(...Object.entries(rows).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, number(value)))));
  $("ids-scores").textContent = head.scores ? Object.entries(head.scores).map(([name, v]) => `${name} ${number(v)}`).join(" · ") : "";
  tiles.forEach((tile, k) => {
    tile.share.textContent = head.area[k] ? `${(100 * head.area[k]).toFixed(head.area[k] < 0.0995 ? 1 : 0)}%` : "–";
    tile.role.textContent = report.judged ? `${head.roles[k]} · ${number(head.slot_kl[k])} nats` : `${number(head.slot_kl[k])} nats`;
    tile.button.style.setProperty("--colour", rgb(tone(k)));
  });
}

function makeTiles() {
  tiles.length = 0;
  $("slots").replaceChildren();
  if (state.slot !== null && state.slot >= report.slots) state.slot = null;
  for (let k = 0; k < report.slots; k++) {
    const canvas = make("canvas", { "aria-hidden": "true" }), share = make("span"), role = make("span", { className: "role" });
    const name = make("span", { className: "name" }, make("span", { className: "swatch" }), make("span", {}, `Slot ${k + 1}`), share);
    const button = make("button", { type: "button", className: "slot", "aria-pressed": "false", "aria-label": `Slot ${k + 1}: show alone` }, make("span", { className: "picture" }, canvas), name, role);
    button.addEventListener("click", () => choose(k));
    $("slots").append(button);
    tiles.push({ button, canvas, share, role });
  }
}

export function choose(slot) {
  state.slot = slot === state.slot || slot === null || slot >= report.slots ? null : slot;
  $("slots").classList.toggle("isolating", state.slot !== null);
  tiles.forEach((tile, k) => tile.button.setAttribute("aria-pressed", String(k === state.slot)));
  $("clear").hidden = state.slot === null;
  announce(state.slot === null ? "All slots" : `Slot ${state.slot + 1} alone`);
  show();
}

/* ---------- Playing ---------- */

export async function play(on) {
  if (on && state.playing) return;
  state.playing = on && report.frames !== 1;
  $("player").classList.toggle("playing", state.playing);
  $("play").setAttribute("aria-label", state.playing ? "Pause" : "Play");
  if (!state.playing) return;
  if (report.frames && state.wish >= report.frames - 1) state.wish = -1;
  if (facts.live) state.wish = Math.max(state.wish, newest);
  const wait = facts.live ? 0 : 1000 / Math.min(facts.rate || 10, 30);
  let due = performance.now();
  while (state.playing) {
    const sleep = due - performance.now();
    if (sleep > 0) await new Promise((resolve) => setTimeout(resolve, sleep));
    due = Math.max(due + wait, performance.now());
    if (!state.playing) return;
    const end = report.frames && state.wish >= report.frames - 1;
    if (end || !(await go(state.wish + 1, true))) break;
  }
  if (state.playing) { play(false); go(state.at, true); } // once more, with all that playing leaves out
}

export function step(by) {
  play(false);
  return go(state.wish + by);
}

export function listen() {
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("play").addEventListener("click", () => (state.playing ? stop() : play(true)));
  $("clear").addEventListener("click", () => choose(null));
  $("slider").addEventListener("input", (event) => { play(false); go(Number(event.target.value)); });
  for (const button of document.querySelectorAll("[data-layer]")) {
    button.addEventListener("click", () => {
      layers[button.dataset.layer] = !layers[button.dataset.layer];
      button.setAttribute("aria-pressed", String(layers[button.dataset.layer]));
      show();
    });
  }
  const views = document.querySelectorAll("[data-view]");
  for (const button of views) {
    button.addEventListener("click", () => {
      state.view = button.dataset.view;
      for (const other of views) other.setAttribute("aria-pressed", String(other === button));
      show();
    });
  }
}

export function stop() {
  play(false);
  return go(state.at, true);
}
