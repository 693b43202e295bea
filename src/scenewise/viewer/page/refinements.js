/** A walk through the refinements of the frame. */
import { $, css, make, number, report, rgb, state, tone } from "./context.js";
import { curves } from "./charts.js";
import { ask, coloured, opaque, pictures, put } from "./link.js";

let last = null, chosen = 0;

export async function open() {
  const head = await ask("refinement", { number: state.at, step: chosen });
  if (head) show(head);
}

function show(head) {
  last = head;
  const d = pictures({ ...head, slots: head.data.masks.shape[0] }), { width, height } = d;
  $("step").max = head.names.length - 1;
  $("step").value = head.step;
  $("step-name").textContent = head.names[head.step];
  $("step").setAttribute("aria-valuetext", `after refinement ${head.names[head.step]}, NLL ${number(head.nll[head.step])} nats`);
  put($("step-reconstruction"), d.reconstruction, width, height);
  put($("step-labels"), coloured(d.labels, report.roles), width, height);
  draw();
  const rows = Array.from({ length: d.slots }, (_, k) => {
    const alone = make("canvas", { "aria-hidden": "true" });
    const cut = new Uint8ClampedArray(d.appearance[k]);
    d.masks[k].forEach((mask, i) => { cut[4 * i + 3] = mask; });
    put(alone, cut, width, height);
    const figures = [make("figure", {}, alone, make("figcaption", {}, "alone"))];
    for (const [name, label] of [["gradient_means", "by its mean"], ["gradient_masks", "by its mask"]]) {
      const found = head.data[name];
      if (!found) continue;
      const [, tall, wide] = found.shape, size = 3 * tall * wide, canvas = make("canvas", { "aria-hidden": "true" });
      put(canvas, opaque(found.values.subarray(k * size, (k + 1) * size)), wide, tall);
      figures.push(make("figure", {}, canvas, make("figcaption", {}, label)));
    }
    return make("div", { className: "row" }, make("h3", {}, make("span", { className: "swatch", colour: rgb(tone(k)) }), `Slot ${k + 1}`), ...figures);
  });
  $("gradients").replaceChildren(...rows);
}

export function draw() {
  if (!last) return;
  curves($("chart-nll"), [{ values: last.nll, colour: css("--accent") }], { at: last.step });
  curves($("chart-kl"), [{ values: last.kl, colour: css("--accent") }], { at: last.step });
  $("chart-nll").setAttribute("aria-label", `NLL from ${number(last.nll[0])} to ${number(last.nll.at(-1))} nats`);
  $("chart-kl").setAttribute("aria-label", `KL from ${number(last.kl[0])} to ${number(last.kl.at(-1))} nats`);
}

export function listen() {
  $("step").addEventListener("input", (event) => { chosen = Number(event.target.value); open(); });
}
