/** The frame explained again, the future, another model, a training run, and files to save. */
import { $, css, facts, make, number, report, rgb, state } from "./context.js";
import { curves } from "./charts.js";
import { ask, coloured, opaque, pictures, put, rolesLike, trouble } from "./link.js";

function picture(pixels, width, height, title, text = "") {
  const canvas = make("canvas", { role: "img", "aria-label": title });
  put(canvas, pixels, width, height);
  return make("figure", {}, make("div", { className: "picture" }, canvas), make("figcaption", {}, make("b", {}, title), make("span", {}, text)));
}

/* ---------- Again ---------- */

export const again = {
  open() {
    $("again-slots").placeholder = facts.slots;
    $("again-refinements").placeholder = facts.refinements || "–";
    $("again-slots").disabled = facts.fixed_slots;
    $("again-refinements").disabled = !facts.refinements;
  },
  listen() { $("again-run").addEventListener("click", explainAgain); },
};

const chosenNumber = (id) => ($(id).value ? { [id.split("-")[1]]: Number($(id).value) } : {});

async function explainAgain() {
  const count = Math.min(32, Math.max(1, Number($("again-count").value) || 1)), at = state.at;
  const settings = { number: at, ...chosenNumber("again-slots"), ...chosenNumber("again-refinements") };
  $("again-run").disabled = true;
  $("again-cards").replaceChildren();
  $("tally").textContent = "";
  const seeds = [], cards = [];
  for (let seed = 0; seed < count; seed++) {
    const head = await ask("again", { ...settings, seed });
    if (!head) break;
    const d = pictures(head), shown = make("canvas", { "aria-hidden": "true" }), drawn = make("canvas", { "aria-hidden": "true" });
    put(shown, coloured(d.labels, rolesLike(d)), d.width, d.height);
    put(drawn, d.reconstruction, d.width, d.height);
    const scores = head.scores ? ` · F-ARI ${number(head.scores["F-ARI"], 2)}` : "";
    const card = make("figure", { "data-seed": seed }, make("div", { className: "halves" }, shown, drawn), make("figcaption", {}, make("b", {}, `Seed ${seed}`), make("span", {}, `NLL ${number(head.nll)} · KL ${number(head.kl)}${scores}`)));
    seeds.push(seed);
    cards.push(card);
    $("again-cards").append(card);
    $("tally").textContent = `${seeds.length} of ${count} …`;
  }
  $("again-run").disabled = false;
  if (!seeds.length) return;
  const head = await ask("tally", { ...settings, seeds });
  if (!head) return;
  const words = head.outcomes.map((group) => `${group.length}×`).join(", ");
  $("tally").textContent = head.outcomes.length === 1
    ? `All ${seeds.length} explanations divide the frame alike.`
    : `${head.outcomes.length} distinct outcomes in ${seeds.length} explanations: ${words}.`;
  head.outcomes.forEach((group, place) => { for (const seed of group) cards[seed].style.borderColor = rgb(facts.colours[place]); });
}

/* ---------- Predict ---------- */

let future = null;

export const predict = {
  open() {},
  listen() {
    $("predict-run").addEventListener("click", async () => {
      $("predict-run").disabled = true;
      future = await ask("predict", { number: state.at, steps: Number($("predict-steps").value) || 1, samples: Number($("predict-samples").value) || 1 });
      $("predict-run").disabled = false;
      if (!future) return;
      $("predict-shown").hidden = false;
      $("predict-step").max = future.data.images.shape[1] - 1;
      $("predict-step").value = 0;
      showFuture();
    });
    $("predict-step").addEventListener("input", showFuture);
  },
  draw: () => future && showFuture(),
};

function showFuture() {
  const t = Number($("predict-step").value), { images, truth } = future.data, [samples, steps, H, W] = images.shape, size = 3 * H * W;
  $("predict-name").textContent = `+${t + 1}`;
  const figures = [];
  if (truth && t < truth.shape[0]) figures.push(picture(opaque(truth.values.subarray(t * size, (t + 1) * size)), W, H, "What came", "not shown to the model"));
  for (let s = 0; s < samples; s++) {
    const at = (s * steps + t) * size, error = future.mse[s][t];
    figures.push(picture(opaque(images.values.subarray(at, at + size)), W, H, samples > 1 ? `Sample ${s + 1}` : "Predicted", error === undefined ? "" : `error ${number(error)}`));
  }
  $("futures").replaceChildren(...figures);
  const x = future.mse[0].map((_, i) => i + 1);
  curves($("chart-future"), future.mse.map((values, s) => ({ values, x, colour: rgb(facts.colours[s]) })), { at: x.length > t ? t + 1 : null });
}

/* ---------- Compare ---------- */

export const compare = {
  async open() {
    const select = $("compare-model");
    if (!select.options.length) select.append(make("option", { value: "" }, "choose …"), ...facts.models.map((name) => make("option", { value: name }, name)));
    if (select.value) await showOther();
  },
  listen() { $("compare-model").addEventListener("change", showOther); },
};

async function showOther() {
  const name = $("compare-model").value;
  if (!name) return;
  $("compared").replaceChildren(make("p", { className: "hint" }, `${name} looks at the frame …`));
  const head = await ask("compare", { number: state.at, model: name });
  if (!head) return $("compared").replaceChildren();
  const own = state.decoded, d = pictures(head);
  $("compared").replaceChildren(
    picture(coloured(own.labels, report.roles), own.width, own.height, "Slots", facts.model),
    picture(own.reconstruction, own.width, own.height, "Reconstruction", facts.model),
    picture(coloured(d.labels, rolesLike(d)), d.width, d.height, "Slots", name),
    picture(d.reconstruction, d.width, d.height, "Reconstruction", name),
  );
  const rows = [["Squared error", state.head.mse, head.mse], ["NLL, nats", state.head.nll, head.nll], ["KL, nats", state.head.kl, head.kl]];
  for (const score of head.scores ? ["ARI", "F-ARI"] : []) rows.push([score, state.head.scores && state.head.scores[score], head.scores[score]]);
  const cell = (tag, text) => make(tag, {}, text);
  $("compare-table").replaceChildren(make("table", {},
    make("thead", {}, make("tr", {}, cell("th", "This frame"), cell("th", facts.model), cell("th", name))),
    make("tbody", {}, ...rows.map(([label, a, b]) => make("tr", {}, make("th", { scope: "row" }, label), make("td", { "data-label": facts.model }, number(a)), make("td", { "data-label": name }, number(b)))))));
}

/* ---------- Training ---------- */

let run = null;

export const training = {
  async open() {
    run = await ask("training");
    if (!run) return;
    showRun();
    if (run.data.picture) {
      URL.revokeObjectURL($("training-picture").src);
      $("training-picture").src = URL.createObjectURL(new Blob([run.data.picture.values], { type: "image/png" }));
      $("training-picture").hidden = false;
      $("training-caption").textContent = `${run.picture_name.replace(/^step_0*(?=\d)/, "Step ")}: input, masks, reconstruction, slots`;
    }
    $("training-when").textContent = `as of ${new Date().toLocaleTimeString()}`;
  },
  listen() { setInterval(() => { if (state.tab === "training" && !document.hidden) training.open(); }, 5000); },
  draw: () => run && showRun(),
};

const SHOWN = ["loss", "nll", "kl", "mse", "bound", "F-ARI", "ARI"];

function showRun() {
  const stage = run.stages.at(-1), charts = [];
  for (const [table, columns] of Object.entries(stage.tables)) {
    for (const [name, values] of Object.entries(columns)) {
      if (!SHOWN.some((word) => name === word || name.endsWith(` ${word}`)) || !columns.step) continue;
      const canvas = make("canvas", { className: "chart", role: "img", "aria-label": `${table}, ${name}: last ${number(values.at(-1))}` });
      charts.push([make("div", {}, make("h3", {}, `${stage.name ? `${stage.name}: ` : ""}${table === "metrics" ? "training" : "validation"} ${name}`), canvas), canvas, values, columns.step]);
    }
  }
  $("training-charts").replaceChildren(...charts.map(([node]) => node));
  for (const [, canvas, values, x] of charts) curves(canvas, [{ values, x, colour: css("--accent") }]);
}

/* ---------- Save ---------- */

const MOST_FRAMES = 600; // of a film, as the server has it

export const save = {
  open() {
    $("save-latents").href = `save/latents?number=${state.at}`;
    if (report.frames) { $("save-first").max = $("save-last").max = report.frames - 1; }
    if (!Number($("save-last").value)) $("save-last").value = Math.min(report.frames ? report.frames - 1 : state.at, 99);
    films();
  },
  listen() {
    for (const id of ["save-first", "save-last"]) $(id).addEventListener("input", films);
    for (const id of ["save-gif", "save-mp4"]) $(id).addEventListener("click", () => { if ($(id).href) $("save-hint").textContent = "The film is being made; the browser saves it when it is done."; });
    $("save-png").addEventListener("click", savePictures);
  },
};

function films() {
  const first = Number($("save-first").value), last = Number($("save-last").value);
  const whole = Number.isInteger(first) && Number.isInteger(last), fits = whole && first >= 0 && first <= last && last - first < MOST_FRAMES;
  $("save-hint").textContent = fits ? "Films show the frame, its slots and the reconstruction side by side." : `A film has 1 to ${MOST_FRAMES} frames, the first before the last.`;
  for (const kind of ["gif", "mp4"]) {
    const link = $(`save-${kind}`);
    if (fits) link.href = `save/${kind}?first=${first}&last=${last}`;
    else link.removeAttribute("href");
  }
}

/** All pictures of the frame on one: with outlines, input, slots, reconstruction, then each slot as it is shown. */
function savePictures() {
  const shown = [...document.querySelectorAll("#room-frames figure:not([hidden]) canvas, #slots canvas")], side = 256, gap = 8;
  const columns = Math.min(shown.length, 5), tall = Math.round(side / report.aspect), sheet = make("canvas");
  sheet.width = columns * (side + gap) + gap;
  sheet.height = Math.ceil(shown.length / columns) * (tall + gap) + gap;
  const context = sheet.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, sheet.width, sheet.height);
  context.imageSmoothingQuality = "high";
  shown.forEach((canvas, n) => {
    context.imageSmoothingEnabled = canvas.width > side;
    context.drawImage(canvas, gap + (n % columns) * (side + gap), gap + Math.floor(n / columns) * (tall + gap), side, tall);
  });
  sheet.toBlob((blob) => {
    if (!blob) return trouble("The pictures cannot be put together.");
    const link = make("a", { href: URL.createObjectURL(blob), download: `${facts.name.replace(/[^\w.-]+/g, "_")}-${state.at}.png` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}
