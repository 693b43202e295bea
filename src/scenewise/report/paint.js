import { report, state } from "./context.js";

/* ---------- Painting ---------- */

export const HEAT = [[11, 9, 28], [59, 15, 92], [120, 28, 109], [181, 54, 88], [229, 92, 48], [251, 155, 6], [246, 215, 70], [252, 255, 200]];
const FAINT = 0.16; // what is left of a pixel outside the chosen slot
export const FINE = 192; // pixels from which on a picture is shown smaller than it is: single pixels are not to be seen then
/** HEAT in 256 steps, red, green, blue one after the other. */
export const heat = Uint8Array.from({ length: 256 * 3 }, (_, i) => {
  const place = (Math.floor(i / 3) / 255) * (HEAT.length - 1);
  const low = Math.min(Math.floor(place), HEAT.length - 2);
  return HEAT[low][i % 3] + (HEAT[low + 1][i % 3] - HEAT[low][i % 3]) * (place - low);
});

/** Fill a canvas; `pixel(i, out, o)` writes red, green, blue (and alpha where not opaque) of pixel i at out[o]. */
export function paint(canvas, pixel) {
  const { width: W, height: H } = report, SIZE = W * H;
  if (canvas.width !== W || canvas.height !== H) { canvas.width = W; canvas.height = H; }
  const context = canvas.getContext("2d");
  const image = context.createImageData(W, H);
  for (let i = 0, o = 0; i < SIZE; i++, o += 4) {
    image.data[o + 3] = 255;
    pixel(i, image.data, o);
  }
  context.putImageData(image, 0, 0);
}

/** Opacity of pixel i: faint outside the chosen slot, in proportion to its mask. */
function weight(d, i) {
  return state.slot === null ? 255 : 255 * FAINT + (1 - FAINT) * d.masks[state.slot][i];
}

export function paintPicture(canvas, d, source) {
  paint(canvas, (i, out, o) => {
    for (let c = 0; c < 3; c++) out[o + c] = source[4 * i + c];
    out[o + 3] = weight(d, i);
  });
}

/** One colour per pixel over the grey frame, so that hues stay pure and the scene stays readable. */
function paintOver(canvas, d, find) {
  const under = d.frame.seen ? d.input : d.reconstruction;
  paint(canvas, (i, out, o) => {
    const { slot, colour, tint } = find(i);
    const light = 0.3 * under[4 * i] + 0.59 * under[4 * i + 1] + 0.11 * under[4 * i + 2];
    for (let c = 0; c < 3; c++) out[o + c] = tint * colour[c] + (1 - tint) * light;
    out[o + 3] = state.slot === null || state.slot === slot ? 255 : 255 * FAINT;
  });
}

const WEAK = 0.2; // objects stand out, whatever the background's colour
const strength = () => (report.judged ? 0.74 : 0.55);
const NOTHING = { slot: -1, colour: [128, 128, 128], tint: 0 };

export function paintLabels(canvas, d) {
  const strong = strength();
  const bySlot = report.colours.map((colour, slot) => ({ slot, colour, tint: report.roles[slot] === "background" ? WEAK : strong }));
  paintOver(canvas, d, (i) => bySlot[d.labels[i]] || NOTHING);
}

export function paintIds(canvas, d) {
  const strong = strength();
  const byId = Object.fromEntries(Object.entries(report.ids).map(([id, slot]) => {
    const shade = 70 + ((id * 53) % 150); // an object that no slot is left for
    return [id, { slot, colour: report.colours[slot] || [shade, shade, shade], tint: id === "0" ? WEAK : strong }];
  }));
  paintOver(canvas, d, (i) => byId[d.ids[i]] || NOTHING);
}

export function paintSpread(canvas, d) {
  const gain = d.frame.peak / state.scale;
  paint(canvas, (i, out, o) => {
    const step = 3 * Math.round(d.spread[i] * gain);
    for (let c = 0; c < 3; c++) out[o + c] = heat[step + c];
    out[o + 3] = weight(d, i);
  });
}

export function paintSlot(canvas, d, k) {
  const mask = d.masks[k], colours = d.appearance[k];
  if (state.view === "heat") return paint(canvas, (i, out, o) => { for (let c = 0; c < 3; c++) out[o + c] = heat[3 * mask[i] + c]; });
  if (state.view === "mask") return paint(canvas, (i, out, o) => { out[o] = out[o + 1] = out[o + 2] = mask[i]; });
  paint(canvas, (i, out, o) => {
    for (let c = 0; c < 3; c++) out[o + c] = colours[4 * i + c];
    if (state.view === "both") out[o + 3] = mask[i];
  });
}

/* ---------- Over the source: outlines, numbers, trails ---------- */

/** Where slot k is, as one closed set of line pieces on the grid of pixel centres: marching squares on a softened map. */
function outline(labels, k) {
  const { width: W, height: H } = report;
  const at = (x, y) => (x < 0 || y < 0 || x >= W || y >= H ? 0 : Number(labels[y * W + x] === k));
  const soft = new Float32Array((W + 2) * (H + 2));
  for (let y = -1; y <= H; y++) {
    for (let x = -1; x <= W; x++) {
      soft[(y + 1) * (W + 2) + x + 1] = (4 * at(x, y) + 2 * (at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1))
        + at(x - 1, y - 1) + at(x + 1, y - 1) + at(x - 1, y + 1) + at(x + 1, y + 1)) / 16;
    }
  }
  const path = new Path2D(), level = 0.5;
  const cross = (a, b) => (level - a) / (b - a);
  for (let y = 0; y <= H; y++) {
    for (let x = 0; x <= W; x++) {
      const i = y * (W + 2) + x, a = soft[i], b = soft[i + 1], c = soft[i + W + 3], d = soft[i + W + 2];
      const points = []; // in source units: a pixel's centre is at its number less a half
      if (a < level !== b < level) points.push([x + cross(a, b), y]);
      if (b < level !== c < level) points.push([x + 1, y + cross(b, c)]);
      if (d < level !== c < level) points.push([x + cross(d, c), y + 1]);
      if (a < level !== d < level) points.push([x, y + cross(a, d)]);
      for (let n = 0; n + 1 < points.length; n += 2) {
        path.moveTo(points[n][0] - 0.5, points[n][1] - 0.5);
        path.lineTo(points[n + 1][0] - 0.5, points[n + 1][1] - 0.5);
      }
    }
  }
  return path;
}

/** Sum of x, of y and number of pixels that each slot owns. */
export function centres(labels) {
  const { width: W, slots: K } = report;
  const sums = Array.from({ length: K }, () => [0, 0, 0]);
  labels.forEach((label, i) => {
    const sum = sums[label];
    if (!sum) return;
    sum[0] += (i % W) + 0.5;
    sum[1] += Math.floor(i / W) + 0.5;
    sum[2]++;
  });
  return sums;
}

const TRAIL = 40; // points of the path that are shown behind an object

export function paintObjects(canvas, d, layers) {
  const { width: W, height: H, slots: K } = report, SIZE = W * H;
  const ratio = report.aspect || W / H, base = d.photograph;
  const width = base ? base.width : Math.round(Math.max(480, W)), height = base ? base.height : Math.round(width / ratio);
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const context = canvas.getContext("2d"), unit = Math.max(1, width / 480);
  if (base) context.drawImage(base, 0, 0);
  else {
    const small = document.createElement("canvas");
    paint(small, (i, out, o) => { const from = d.frame.seen ? d.input : d.reconstruction; for (let c = 0; c < 3; c++) out[o + c] = from[4 * i + c]; });
    context.imageSmoothingEnabled = Math.max(W, H) > FINE;
    context.drawImage(small, 0, 0, width, height);
  }
  const scaleX = width / W, scaleY = height / H, sums = centres(d.labels);
  for (let k = 0; k < K; k++) {
    const dim = state.slot !== null && state.slot !== k;
    if (report.roles[k] === "background" || dim || sums[k][2] < 0.002 * SIZE) continue;
    if (layers.outlines) {
      const path = new Path2D();
      path.addPath(outline(d.labels, k), new DOMMatrix([scaleX, 0, 0, scaleY, 0, 0]));
      context.lineCap = "round";
      for (const [colour, thick] of [["rgb(0 0 0 / 0.55)", 4.5 * unit], [`rgb(${report.colours[k].join(" ")})`, 2.5 * unit]]) {
        context.strokeStyle = colour;
        context.lineWidth = thick;
        context.stroke(path);
      }
    }
    if (layers.trails && report.trails && report.trails[k]) paintTrail(context, k, d.frame.index, width, height, unit);
    if (layers.numbers && report.numbers && report.numbers[k]) paintNumber(context, k, sums[k], scaleX, scaleY, unit);
  }
}

function paintTrail(context, k, index, width, height, unit) {
  const [top, left, tall, wide] = report.crop, path = report.trails[k];
  let end = path.findIndex(([number]) => number > index);
  if (end < 0) end = path.length;
  const points = path.slice(Math.max(0, end - TRAIL), end).map(([, x, y]) => [((x - left) / wide) * width, ((y - top) / tall) * height]);
  context.lineWidth = 2 * unit;
  context.lineCap = context.lineJoin = "round";
  points.forEach((point, n) => {
    if (!n) return;
    context.strokeStyle = `rgb(${report.colours[k].join(" ")} / ${(0.15 + (0.8 * n) / points.length).toFixed(2)})`;
    context.beginPath();
    context.moveTo(...points[n - 1]);
    context.lineTo(...point);
    context.stroke();
  });
}

function paintNumber(context, k, [x, y, count], scaleX, scaleY, unit) {
  const text = String(report.numbers[k]), size = 13 * unit;
  const [middleX, middleY] = [(x / count) * scaleX, (y / count) * scaleY];
  context.font = `600 ${size}px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif`;
  const wide = Math.max(context.measureText(text).width + 8 * unit, 1.5 * size);
  context.fillStyle = "rgb(0 0 0 / 0.72)";
  context.beginPath();
  context.roundRect(middleX - wide / 2, middleY - 0.75 * size, wide, 1.5 * size, 5 * unit);
  context.fill();
  context.fillStyle = "#fff";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, middleX, middleY + 0.04 * size);
  context.textAlign = "left";
}
