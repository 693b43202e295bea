/** The page comes up: what there is to look at, rooms, keys. */
import { $, facts, make, number, report, rgb, state } from "./context.js";
import { HEAT } from "./paint.js";
import { ask } from "./link.js";
import * as frames from "./frames.js";
import * as refinements from "./refinements.js";
import * as latents from "./latents.js";
import { again, compare, predict, save, training } from "./others.js";

const rooms = { frames: { open() { frames.show(); } }, refinements, latents, again, predict, compare, training, save };
let fresh = {}; // rooms that show the frame that is on

function enter(name) {
  state.tab = name;
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const on = tab.dataset.tab === name;
    tab.setAttribute("aria-selected", String(on));
    tab.tabIndex = on ? 0 : -1;
    $(`room-${tab.dataset.tab}`).hidden = !on;
  }
  if (fresh[name]) { if (rooms[name].draw) rooms[name].draw(); return; }
  fresh[name] = true;
  rooms[name].open();
}

function tabs() {
  const able = { frames: facts.frames !== 0, refinements: facts.refines, latents: facts.draws, again: facts.frames !== 0, predict: facts.predicts, compare: facts.models.length > 0, training: facts.run, save: facts.frames !== 0 };
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.hidden = !able[tab.dataset.tab];
    tab.addEventListener("click", () => enter(tab.dataset.tab));
    tab.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!way) return;
      const shown = [...document.querySelectorAll("[role=tab]:not([hidden])")], next = shown[(shown.indexOf(tab) + way + shown.length) % shown.length];
      next.focus();
      enter(next.dataset.tab);
      event.preventDefault();
      event.stopPropagation();
    });
  }
}

function keys() {
  const jumps = { ArrowLeft: (n) => frames.step(-n), ArrowRight: (n) => frames.step(n), Home: () => frames.step(-Infinity), End: () => report.frames && frames.step(report.frames) };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !report.slots) return;
    const writing = event.target.closest("select, textarea, input:not([type=checkbox])") && event.target.id !== "slider";
    if (writing) return;
    if (event.key === "Escape" || event.key === "0") frames.choose(null);
    else if (/^[1-9]$/.test(event.key) && Number(event.key) <= report.slots) frames.choose(Number(event.key) - 1);
    else if (jumps[event.key]) jumps[event.key](event.shiftKey ? 10 : 1);
    else if (event.key === " " && !event.target.closest("button, a")) { if (state.playing) frames.stop(); else frames.play(true); }
    else return;
    event.preventDefault();
  });
}

const lengthOf = (head) => (head.frames ? `${head.frames.toLocaleString("en")} ${head.views ? "view" : "frame"}${head.frames > 1 ? "s" : ""}` : "frames as they come");

/** What the source shows, while the model loads. */
async function glance() {
  const head = await ask("glance");
  if (!head || !head.loading) return;
  $("facts").textContent = `${lengthOf(head)} · the model loads …`;
  if (head.data.source) await frames.glance(head);
}

async function begin() {
  await glance();
  const head = await ask("hello");
  document.querySelector("main").setAttribute("aria-busy", "false");
  if (!head) { $("facts").textContent = "The model could not be loaded."; return; }
  Object.assign(facts, head);
  document.querySelector("h1").textContent = head.title;
  tabs();
  for (const room of Object.values(rooms)) if (room.listen) room.listen();
  if (!head.frames && head.frames !== null) { $("facts").textContent = "a training run"; return enter("training"); }
  Object.assign(report, { slots: 0, aspect: head.aspect, frames: head.frames || 0 });
  $("facts").textContent = [`model ${head.model}`, lengthOf(head), `${head.width} × ${head.height} pixels`, `${head.slots} slots`, head.refinements ? `${head.refinements} refinements` : "", head.validated === null ? "" : `validated error ${number(head.validated)}`].filter(Boolean).join(" · ");
  document.documentElement.style.setProperty("--heat", `linear-gradient(90deg, ${HEAT.map((c) => rgb(c)).join(", ")})`);
  document.body.classList.toggle("fine", Math.max(head.width, head.height) > 192);
  document.body.classList.toggle("wide", head.aspect > 2.2);
  $("slider").max = head.frames ? head.frames - 1 : 1000;
  $("last-number").textContent = head.frames ? ` of ${head.frames - 1}` : "";
  $("player").hidden = head.frames === 1;
  $("player").inert = false;
  $("slider").hidden = head.live;
  frames.listen();
  keys();
  frames.onFrame(() => {
    fresh = { training: fresh.training, [state.tab]: true };
    if (state.tab !== "frames" && state.tab !== "training" && state.tab !== "again" && state.tab !== "predict") rooms[state.tab].open();
  });
  enter("frames");
  if (head.live) { await frames.go(0, true); return frames.play(true); }
  await frames.go(head.first, true);
}

new ResizeObserver(() => { if (rooms[state.tab].draw) rooms[state.tab].draw(); }).observe(document.querySelector("main"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { frames.show(); if (rooms[state.tab].draw) rooms[state.tab].draw(); });
begin();
