/** Latents of the frame's slots: changed by hand, and the slots drawn anew. */
import { $, announce, facts, make, number, rgb, state, tone } from "./context.js";
import { bars } from "./charts.js";
import { ask, pictures, put } from "./link.js";

const FIRST = 10;
let known = null; // posterior and prior of the frame
let slots = []; // { source, latent, name }: what is drawn
let chosen = 0, all = false, mixed = null;
let rows = [];

const row = (name, k) => Array.from(known.data[name].values.subarray(k * Z(), (k + 1) * Z()));
const Z = () => known.data.mean.shape[1];

export async function open() {
  const head = await ask("latents", { number: state.at });
  if (!head) return;
  const first = !known;
  known = head;
  if (first) chosen = head.most_informed;
  reset();
}

function reset() {
  slots = Array.from({ length: known.data.mean.shape[0] }, (_, k) => ({ source: k, latent: row("mean", k), name: `${k + 1}` }));
  chosen = Math.min(chosen, slots.length - 1);
  $("drawn-what").textContent = "from the posterior's means";
  rebuild();
}

function rebuild() {
  mixed = null;
  $("latent-mix").value = 0;
  const options = () => slots.map((slot, k) => make("option", { value: k, disabled: k === chosen }, `slot ${slot.name}`));
  $("latent-swap").replaceChildren(make("option", { value: "" }, "…"), ...options());
  $("latent-other").replaceChildren(make("option", { value: "" }, "another slot …"), ...options());
  for (const id of ["latent-copy", "latent-add"]) $(id).disabled = facts.fixed_slots || slots.length >= 32;
  $("latent-delete").disabled = facts.fixed_slots || slots.length < 2;
  $("latent-name").textContent = `slot ${slots[chosen].name}`;
  const { source } = slots[chosen], ranking = known.rankings[source];
  rows = (all ? ranking : ranking.slice(0, FIRST)).map((z) => dimension(z, source));
  $("dimensions").replaceChildren(...rows.map((entry) => entry.node));
  $("more-dimensions").textContent = all ? "The most informative alone" : `All ${ranking.length} dimensions`;
  $("more-dimensions").hidden = ranking.length <= FIRST;
  rows.forEach((entry) => entry.draw());
  redraw();
}

function dimension(z, source) {
  const at = (name) => known.data[name].values[source * Z() + z];
  const mean = at("mean"), std = at("std"), prior = [at("prior_mean"), at("prior_std")];
  const reach = Math.min(3 * prior[1], Math.max(8, 6 * std)), value = () => slots[chosen].latent[z];
  const low = Math.min(prior[0] - reach, mean - 3 * std, value()), high = Math.max(prior[0] + reach, mean + 3 * std, value());
  const slider = make("input", { type: "range", min: low, max: high, step: (high - low) / 400, value: value(), "aria-label": `z${z} of slot ${slots[chosen].name}`, "data-dimension": z });
  const canvas = make("canvas", { role: "img", "aria-label": `prior ${number(prior[0], 2)} ± ${number(prior[1], 2)}, posterior ${number(mean, 2)} ± ${number(std, 2)}` }), shown = make("output", {}, number(value(), 3));
  const draw = () => { slider.value = value(); shown.textContent = number(value(), 3); bars(canvas, { low, high, prior, posterior: [mean, std], value: value() }); };
  slider.addEventListener("input", () => { slots[chosen].latent[z] = Number(slider.value); $("drawn-what").textContent = "from changed latents"; draw(); redraw(); });
  slider.addEventListener("dblclick", () => { slots[chosen].latent[z] = mean; draw(); redraw(); });
  const label = make("span", {}, make("b", {}, `z${z}`), make("small", {}, `${number(at("kl"), 2)} nats`));
  return { node: make("div", { className: "dimension" }, label, slider, canvas, shown), draw };
}

let busy = false, again = false;

/** Draw; of wishes that come while one is on its way the newest is drawn next. */
async function redraw() {
  if (!facts.draws || !slots.length) return;
  if (busy) { again = true; return; }
  busy = true;
  const begun = performance.now();
  const head = await ask("draw", { number: state.at, latents: slots.map((slot) => slot.latent), sources: slots.map((slot) => slot.source) });
  busy = false;
  if (head) {
    paintSlots(pictures(head));
    $("latency").textContent = `drawn in ${Math.round(performance.now() - begun)} ms`;
  }
  if (again) { again = false; redraw(); }
}

function paintSlots(d) {
  put($("drawn"), d.reconstruction, d.width, d.height);
  const box = $("latent-slots");
  while (box.children.length > slots.length) box.lastChild.remove();
  slots.forEach((slot, k) => {
    if (!box.children[k]) {
      const button = make("button", { type: "button", className: "slot" }, make("span", { className: "picture" }, make("canvas", { "aria-hidden": "true" })), make("span", { className: "name" }, make("span", { className: "swatch" }), make("span")));
      button.addEventListener("click", () => { chosen = k; rebuild(); });
      box.append(button);
    }
    const button = box.children[k], cut = new Uint8ClampedArray(d.appearance[k]);
    d.masks[k].forEach((mask, i) => { cut[4 * i + 3] = mask; });
    put(button.querySelector("canvas"), cut, d.width, d.height);
    button.querySelector(".name span:last-child").textContent = slot.name;
    button.setAttribute("aria-pressed", String(k === chosen));
    button.setAttribute("aria-label", `Change slot ${slot.name}`);
    button.style.setProperty("--colour", rgb(tone(slot.source)));
  });
}

function normal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

export function draw() {
  rows.forEach((entry) => entry.draw());
}

export function listen() {
  $("latent-reset").addEventListener("click", reset);
  $("latent-copy").addEventListener("click", () => {
    const slot = slots[chosen];
    slots.push({ ...slot, latent: [...slot.latent], name: `${slot.name}′` });
    announce(`Slot ${slot.name} copied`);
    rebuild();
  });
  $("latent-delete").addEventListener("click", () => {
    const [gone] = slots.splice(chosen, 1);
    chosen = Math.min(chosen, slots.length - 1);
    announce(`Slot ${gone.name} deleted`);
    rebuild();
  });
  $("latent-add").addEventListener("click", () => {
    const { source } = slots[chosen], mean = row("prior_mean", source), std = row("prior_std", source);
    slots.push({ source, latent: mean.map((m, z) => m + Math.min(std[z], 10) * normal()), name: `new ${slots.length + 1}` });
    chosen = slots.length - 1;
    rebuild();
  });
  $("latent-swap").addEventListener("change", (event) => {
    const other = Number(event.target.value);
    if (event.target.value === "") return;
    [slots[chosen].latent, slots[other].latent] = [slots[other].latent, slots[chosen].latent];
    $("drawn-what").textContent = "latents of two slots swapped";
    rebuild();
  });
  $("latent-other").addEventListener("change", () => { mixed = null; $("latent-mix").value = 0; });
  $("latent-mix").addEventListener("input", (event) => {
    if ($("latent-other").value === "") return;
    mixed ||= { from: [...slots[chosen].latent], to: [...slots[Number($("latent-other").value)].latent] };
    const share = Number(event.target.value);
    slots[chosen].latent = mixed.from.map((v, z) => v + share * (mixed.to[z] - v));
    $("drawn-what").textContent = `${Math.round(100 * share)}% of the way`;
    rows.forEach((entry) => entry.draw());
    redraw();
  });
  $("more-dimensions").addEventListener("click", () => { all = !all; rebuild(); });
}
