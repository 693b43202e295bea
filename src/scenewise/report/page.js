/* ---------- The frame on show ---------- */

const panel = (name) => $(`panel-${name}`).querySelector("canvas");
const tiles = []; // per slot: button, canvas, share

const layers = { outlines: true, numbers: true, trails: true };

function show(d) {
  state.decoded = d;
  paintObjects(panel("objects"), d, layers);
  paintPicture(panel("input"), d, d.input);
  paintLabels(panel("slots"), d);
  paintPicture(panel("reconstruction"), d, d.reconstruction);
  paintSpread(panel("uncertainty"), d);
  if (hasIds) paintIds(panel("ids"), d);
  tiles.forEach((tile, k) => paintSlot(tile.canvas, d, k));
  describe(d);
}

function describe({ frame, labels }) {
  for (const node of document.querySelectorAll(".frame-number")) node.textContent = frame.index;
  document.querySelector(".frame-time").textContent = frame.time === null ? "" : `${frame.time.toFixed(2)} s`;
  $("frame-error").textContent = number(frame.mse);
  $("predicted-badge").hidden = !frame.predicted;
  const caption = $("panel-input").querySelector("figcaption");
  caption.querySelector("b").textContent = frame.predicted ? "True future" : "Input";
  caption.querySelector("span").textContent = frame.predicted ? "not shown to the model" : SEEN;
  $("panel-input").querySelector(".unseen").hidden = frame.seen;
  const owned = new Uint32Array(256);
  for (const label of labels) owned[label]++;
  tiles.forEach((tile, k) => { tile.share.textContent = owned[k] ? percent(owned[k] / SIZE) : "–"; });
  const slider = $("slider");
  slider.value = state.at;
  slider.setAttribute("aria-valuetext", spoken(frame));
}

function spoken(frame) {
  const time = frame.time === null ? "" : `, ${frame.time.toFixed(2)} seconds`;
  return `Frame ${frame.index}${time}${frame.predicted ? ", predicted" : ""}`;
}

let wanted = 0;
async function go(at, quiet = false) {
  state.at = Math.min(Math.max(at, 0), frames.length - 1);
  const turn = ++wanted;
  const d = await decoded(state.at);
  if (turn !== wanted) return; // the user is already elsewhere
  show(d);
  drawTime();
  if (!quiet) $("announce").textContent = spoken(d.frame);
}

function choose(slot) {
  state.slot = slot === state.slot || slot === null || slot >= K ? null : slot;
  $("slots").classList.toggle("isolating", state.slot !== null);
  tiles.forEach((tile, k) => tile.button.setAttribute("aria-pressed", String(k === state.slot)));
  $("clear").hidden = state.slot === null;
  $("spread-of").textContent = state.slot === null ? "mean over slots" : `slot ${state.slot + 1}`;
  $("announce").textContent = state.slot === null ? "All slots" : `Slot ${state.slot + 1} alone`;
  if (state.decoded) show(state.decoded);
  drawTime();
}

/* ---------- Playing ---------- */

/** Milliseconds between pictured frames: real time where the pictures are close enough, a brisk time lapse otherwise. */
function interval() {
  const first = frames[0], last = frames[frames.length - 1];
  const real = first.time === null || last.time === null ? 0 : (1000 * (last.time - first.time)) / (frames.length - 1);
  return (real >= 15 && real <= 250 ? real : 110) / Number($("speed").value);
}

function play(on) {
  state.playing = on && frames.length > 1;
  $("player").classList.toggle("playing", state.playing);
  $("play").setAttribute("aria-label", state.playing ? "Pause" : "Play");
  if (!state.playing) return;
  if (state.at === frames.length - 1) state.at = -1;
  let due = performance.now();
  const tick = async (now) => {
    if (!state.playing) return;
    if (now >= due) {
      const last = state.at >= frames.length - 1;
      due = Math.max(due + interval(), now);
      if (last) return play(false);
      await go(state.at + 1, true);
      if (state.at + 1 < frames.length) decoded(state.at + 1); // decode ahead
    }
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

function step(by) {
  play(false);
  go(state.at + by);
}

/* ---------- Over time ---------- */

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const rgb = (colour, alpha = 1) => `rgb(${colour.join(" ")} / ${alpha})`;
const gutter = () => (innerWidth < 620 ? 62 : 116);
const rowHeight = K <= 8 ? 34 : K <= 16 ? 18 : 12;

/** Size a canvas for the screen's pixels; return its context and its extent in CSS pixels. */
function prepare(canvas, height) {
  const width = canvas.clientWidth, ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
  context.textBaseline = "middle";
  return { context, left: gutter(), right: width - 8, width };
}

const place = (plot, position) => plot.left + (position / report.frames) * (plot.right - plot.left);

function drawTime() {
  if (report.frames < 2) return;
  drawStrip();
  drawCurve($("error"), timeline.mse, css("--accent"), report.validated);
  const own = state.slot === null ? meanSpread : timeline.spread[state.slot];
  drawCurve($("spread"), own, state.slot === null ? css("--accent") : rgb(report.colours[state.slot]), null, meanSpread);
}

function drawStrip() {
  const plot = prepare($("strip"), K * rowHeight + 24);
  for (let k = 0; k < K; k++) drawRow(plot, k);
  drawPredicted(plot, 0, K * rowHeight, css("--surface"));
  drawAxis(plot, K * rowHeight + 12);
  drawHead(plot, 0, K * rowHeight);
}

function drawRow(plot, k) {
  const { context } = plot, top = k * rowHeight, tall = rowHeight - (rowHeight > 14 ? 4 : 2);
  context.globalAlpha = state.slot === null || state.slot === k ? 1 : 0.25;
  context.fillStyle = css("--sunk");
  context.fillRect(plot.left, top, plot.right - plot.left, tall);
  const most = report.roles[k] === "background" ? 10000 : largest; // of 10,000ths of the frame; the ground has its own
  context.fillStyle = rgb(report.colours[k], 0.9);
  context.beginPath();
  context.moveTo(plot.left, top + tall);
  timeline.area[k].forEach((area, point) => {
    const y = top + tall * (1 - Math.min(1, (area || 0) / most));
    context.lineTo(place(plot, point * timeline.stretch), y);
    context.lineTo(place(plot, Math.min((point + 1) * timeline.stretch, report.frames)), y);
  });
  context.lineTo(plot.right, top + tall);
  context.fill();
  context.globalAlpha = 1;
  context.fillStyle = css(state.slot === k ? "--ink" : "--muted");
  if (rowHeight > 14 || k % 2 === 0) context.fillText(rowName(k), 2, top + tall / 2 + 1);
}

function rowName(k) {
  const role = report.roles[k];
  if (!report.judged || rowHeight < 14) return innerWidth < 620 ? `${k + 1}` : `slot ${k + 1}`;
  return innerWidth < 620 ? `${k + 1} ${role === "background" ? "ground" : role}` : `${k + 1}  ${role}`;
}

function drawPredicted(plot, top, bottom, colour) {
  const { context } = plot;
  context.save();
  context.beginPath();
  timeline.predicted.forEach((share, point) => {
    if (share < 0.5) return;
    const from = place(plot, point * timeline.stretch);
    context.rect(from, top, place(plot, Math.min((point + 1) * timeline.stretch, report.frames)) - from, bottom - top);
  });
  context.clip();
  context.strokeStyle = colour;
  context.globalAlpha = 0.75;
  context.lineWidth = 1.5;
  context.beginPath();
  for (let x = plot.left - (bottom - top); x < plot.right; x += 6) {
    context.moveTo(x, bottom);
    context.lineTo(x + (bottom - top), top);
  }
  context.stroke();
  context.restore();
}

function drawAxis(plot, middle) {
  const { context } = plot, marks = plot.width < 480 ? 2 : 4;
  const [[first, start], [last, end]] = [report.first, report.last];
  context.fillStyle = css("--muted");
  for (let mark = 0; mark <= marks; mark++) {
    const part = mark / marks;
    context.textAlign = mark === 0 ? "left" : mark === marks ? "right" : "center";
    const time = start === null || end === null ? "" : ` · ${(start + part * (end - start)).toFixed(1)} s`;
    context.fillText(`${Math.round(first + part * (last - first))}${time}`, plot.left + part * (plot.right - plot.left), middle);
  }
  context.textAlign = "left";
}

function drawHead(plot, top, bottom) {
  const { context } = plot, x = place(plot, frames[state.at].position + 0.5);
  context.strokeStyle = css("--surface");
  context.lineWidth = 4;
  line(context, [[x, top], [x, bottom]]);
  context.strokeStyle = css("--ink");
  context.lineWidth = 1.5;
  line(context, [[x, top], [x, bottom]]);
}

function line(context, points) {
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
}

/** A curve from 0 up; `level` is drawn as a dashed line, `behind` sets the scale too. */
function drawCurve(canvas, values, colour, level, behind = values) {
  const height = 112, top = 10, bottom = height - 8;
  const plot = prepare(canvas, height), { context } = plot;
  const most = Math.max(...[...values, ...behind, level].filter((v) => v !== null && v !== undefined), 0);
  const unit = nice(most), y = (v) => bottom - (v / unit) * (bottom - top);
  context.strokeStyle = css("--line");
  context.fillStyle = css("--muted");
  context.lineWidth = 1;
  for (const share of [0, 0.5, 1]) {
    line(context, [[plot.left, y(share * unit)], [plot.right, y(share * unit)]]);
    context.textAlign = "right";
    context.fillText(share ? number(share * unit) : "0", plot.left - 10, y(share * unit));
  }
  context.textAlign = "left";
  drawPredicted(plot, top, bottom, css("--line"));
  if (level !== null) drawLevel(plot, y(level));
  drawLine(plot, values, y, colour);
  drawHead(plot, top, bottom);
}

function drawLevel(plot, y) {
  const { context } = plot;
  context.strokeStyle = css("--warn-line");
  context.lineWidth = 2;
  context.setLineDash([6, 5]);
  line(context, [[plot.left, y], [plot.right, y]]);
  context.setLineDash([]);
}

function drawLine(plot, values, y, colour) {
  const { context } = plot;
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = 2;
  context.lineJoin = "round";
  let run = [];
  const flush = () => {
    if (run.length === 1) context.fillRect(run[0][0] - 2, run[0][1] - 2, 4, 4);
    else line(context, run);
    run = [];
  };
  values.forEach((value, point) => {
    const centre = Math.min((point + 0.5) * timeline.stretch, report.frames - 0.5);
    if (value === null) flush();
    else run.push([place(plot, centre), y(value)]);
  });
  flush();
}

function nice(most) {
  if (!(most > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((n) => n * power).find((n) => n >= most * 1.0001) || 10 * power;
}

function seek(canvas, event) {
  const box = canvas.getBoundingClientRect(), left = gutter();
  const part = (event.clientX - box.left - left) / (box.width - 8 - left);
  const position = Math.min(Math.max(part, 0), 1) * report.frames - 0.5;
  let best = 0;
  frames.forEach((frame, at) => { if (Math.abs(frame.position - position) < Math.abs(frames[best].position - position)) best = at; });
  play(false);
  if (best !== state.at) go(best);
}

function listenToLane(canvas) {
  canvas.addEventListener("pointerdown", (event) => {
    const inLabels = event.clientX - canvas.getBoundingClientRect().left < gutter() - 6;
    if (inLabels && canvas.id === "strip") return choose(Math.floor(event.offsetY / rowHeight));
    canvas.setPointerCapture(event.pointerId);
    seek(canvas, event);
  });
  canvas.addEventListener("pointermove", (event) => { if (canvas.hasPointerCapture(event.pointerId)) seek(canvas, event); });
}

/* ---------- Words ---------- */

const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}%`;

function number(value) {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && Math.abs(value) < 1e-4) return value.toExponential(1);
  return String(Number(value.toPrecision(value < 1 ? 2 : 3)));
}

/* ---------- Setting up ---------- */

const WIDE = report.aspect > 2.2;
const SEEN = report.model ? `the model sees it at ${report.model[1]} × ${report.model[0]}` : "what the model sees";
const hasIds = frames.some((frame) => frame.truth);
const largest = Math.max(1, ...timeline.area.flatMap((row, k) => (report.roles[k] === "background" ? [] : [row.reduce((a, b) => Math.max(a, b), 0)])));
const meanSpread = timeline.mse.map((_, point) => {
  const known = timeline.spread.map((row) => row[point]).filter((v) => v !== null);
  return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
});

function makeTiles() {
  const box = $("slots");
  box.classList.toggle("many", K > 16);
  box.style.setProperty("--tile", `${(K <= 8 ? 136 : K <= 16 ? 118 : 88) * (WIDE ? 1.6 : 1)}px`);
  if (K < 6) box.style.maxWidth = `${K * 240}px`;
  for (let k = 0; k < K; k++) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "slot";
    button.setAttribute("aria-pressed", "false");
    button.style.setProperty("--colour", rgb(report.colours[k]));
    button.innerHTML = '<span class="picture"><canvas aria-hidden="true"></canvas></span><span class="name"><span class="swatch"></span><span></span><span></span></span><span class="role"></span>';
    const [, title, share] = button.querySelectorAll(".name > span");
    title.textContent = K > 16 ? `${k + 1}` : `Slot ${k + 1}`;
    button.querySelector(".role").textContent = report.judged ? report.roles[k] : "";
    button.setAttribute("aria-label", `Slot ${k + 1}, ${report.roles[k]}: show alone`);
    button.addEventListener("click", () => choose(k));
    box.append(button);
    tiles.push({ button, canvas: button.querySelector("canvas"), share });
  }
}

function listenToButtons() {
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("play").addEventListener("click", () => play(!state.playing));
  $("clear").addEventListener("click", () => choose(null));
  $("slider").addEventListener("input", (event) => { play(false); go(Number(event.target.value)); });
  $("help").addEventListener("click", () => $("keys").showModal());
  $("close-keys").addEventListener("click", () => $("keys").close());
  $("read-on").addEventListener("click", () => { $("keys").close(); $("how").open = true; });
  for (const button of document.querySelectorAll("[data-layer]")) {
    button.addEventListener("click", () => {
      const on = layers[button.dataset.layer] = !layers[button.dataset.layer];
      button.setAttribute("aria-pressed", String(on));
      if (state.decoded) show(state.decoded);
    });
  }
  const views = document.querySelectorAll("[data-view]");
  for (const button of views) {
    button.addEventListener("click", () => {
      state.view = button.dataset.view;
      for (const other of views) other.setAttribute("aria-pressed", String(other === button));
      if (state.decoded) show(state.decoded);
    });
  }
}

function listenToKeys() {
  const jumps = { ArrowLeft: (n) => step(-n), ArrowRight: (n) => step(n), Home: () => step(-frames.length), End: () => step(frames.length) };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
    const native = event.target.closest("select, textarea, input:not([type=range]):not([type=checkbox])");
    const pressable = event.target.closest("button, summary, a, select");
    if (event.key === "Escape" || event.key === "0") choose(null);
    else if (event.key === "?") $("keys").showModal();
    else if (!native && /^[1-9]$/.test(event.key) && Number(event.key) <= K) choose(Number(event.key) - 1);
    else if (!native && jumps[event.key]) jumps[event.key](event.shiftKey ? 10 : 1);
    else if (event.key === " " && !pressable) play(!state.playing);
    else return;
    event.preventDefault();
  });
}

function dress() {
  for (const node of document.querySelectorAll("[data-slot]")) node.style.setProperty("--colour", rgb(report.colours[Number(node.dataset.slot)]));
  document.documentElement.style.setProperty("--heat", `linear-gradient(90deg, ${HEAT.map((c) => rgb(c)).join(", ")})`);
  document.documentElement.style.setProperty("--aspect", String(report.aspect));
  $("area-scale").textContent = `full height: ${percent(largest / 10000)} of the frame, for background all of it`;
  for (const layer of ["numbers", "trails"]) document.querySelector(`[data-layer=${layer}]`).hidden = !report.judged;
  document.body.classList.toggle("one-image", report.frames === 1);
  document.body.classList.toggle("wide", WIDE);
  document.body.classList.toggle("fine", Math.max(W, H) > FINE);
  $("panel-ids").hidden = !hasIds;
  $("panel-uncertainty").hidden = frames.every((frame) => frame.peak === 0); // none known is not the same as sure
  $("peak").textContent = number(state.scale);
  $("slider").max = frames.length - 1;
  $("last-number").textContent = ` of ${report.last[0]}`;
  $("player").style.setProperty("--counter", `${2 * String(report.last[0]).length + 5}ch`);
  $("hatch-key").hidden = !timeline.predicted.some((share) => share >= 0.5);
  $("error-legend").innerHTML = report.validated === null ? "" : `<i class="dash"></i><span>validated level ${number(report.validated)}</span>`;
  $("strip").setAttribute("aria-label", `Area of each of ${K} slots over ${report.frames} frames`);
  const errors = timeline.mse.filter((v) => v !== null);
  $("error").setAttribute("aria-label", errors.length ? `Reconstruction error over time, between ${number(Math.min(...errors))} and ${number(Math.max(...errors))}` : "No reconstruction error");
  $("spread").setAttribute("aria-label", "Posterior spread over time");
}

$("stage").hidden = false;
makeTiles();
dress();
listenToButtons();
listenToKeys();
["strip", "error", "spread"].forEach((id) => listenToLane($(id)));
new ResizeObserver(drawTime).observe($("strip"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawTime);
go(report.open, true);
