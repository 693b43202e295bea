"use strict";

const $ = (id) => document.getElementById(id);
const report = JSON.parse($("report-data").textContent);
const frames = JSON.parse($("frame-data").textContent);
const { slots: K, width: W, height: H, timeline } = report;
const SIZE = W * H;
const HEAT = [[11, 9, 28], [59, 15, 92], [120, 28, 109], [181, 54, 88], [229, 92, 48], [251, 155, 6], [246, 215, 70], [252, 255, 200]];
const FAINT = 0.16; // what is left of a pixel outside the chosen slot
const MEMORY = 96e6; // bytes of decoded frames kept at most
const FINE = 192; // pixels from which on a picture is shown smaller than it is: single pixels are not to be seen then

const state = { at: 0, slot: null, view: "both", playing: false, decoded: null };
if (!frames.length) return;

/* ---------- Pictures: from three sheets to plain arrays ---------- */

const cache = new Map(); // position in `frames` -> Promise of arrays, least recently used first
const CACHED = Math.max(4, Math.floor(MEMORY / (SIZE * (4 * (2 + K) + 3 + K))));

async function sheet(base64, type) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const exact = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(new Blob([bytes], { type }), exact);
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, canvas.width, canvas.height).data;
}

async function decode(frame) {
  const types = ["image/png", "image/png", "image/jpeg"];
  const [scene, wide, appearance] = await Promise.all(frame.sheets.map((data, i) => sheet(data, types[i])));
  const grey = new Uint8Array(SIZE * (3 + K));
  for (let i = 0; i < grey.length; i++) grey[i] = wide[4 * i];
  const tile = (from, size, n) => from.subarray(size * n, size * (n + 1));
  const perSlot = (make) => Array.from({ length: K }, (_, k) => make(k));
  return {
    frame,
    input: tile(scene, 4 * SIZE, 0), reconstruction: tile(scene, 4 * SIZE, 1),
    labels: tile(grey, SIZE, 0), ids: tile(grey, SIZE, 1), spread: tile(grey, SIZE, 2),
    masks: perSlot((k) => tile(grey, SIZE, 3 + k)),
    appearance: perSlot((k) => tile(appearance, 4 * W * report.tile, k)),
  };
}

function decoded(at) {
  const known = cache.get(at);
  cache.delete(at);
  const promise = known || decode(frames[at]);
  cache.set(at, promise);
  if (cache.size > CACHED) cache.delete(cache.keys().next().value);
  return promise;
}

/* ---------- Painting ---------- */

const scale = Math.max(...frames.map((f) => f.peak), 0.02); // below 0.02 of the colour range nothing is worth a bright colour
const heat = Uint8Array.from({ length: 256 * 3 }, (_, i) => {
  const place = (Math.floor(i / 3) / 255) * (HEAT.length - 1);
  const low = Math.min(Math.floor(place), HEAT.length - 2);
  return HEAT[low][i % 3] + (HEAT[low + 1][i % 3] - HEAT[low][i % 3]) * (place - low);
});

/** Fill a canvas; `pixel(i, out, o)` writes red, green, blue (and alpha where not opaque) of pixel i at out[o]. */
function paint(canvas, pixel) {
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

function paintPicture(canvas, d, source) {
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

const GREY = [128, 128, 128];
const STRONG = report.judged ? 0.74 : 0.55, WEAK = 0.2; // objects stand out, whatever the background's colour
const bySlot = report.colours.map((colour, slot) => ({ slot, colour, tint: report.roles[slot] === "background" ? WEAK : STRONG }));
const byId = Object.fromEntries(Object.entries(report.ids).map(([id, slot]) => {
  const shade = 70 + ((id * 53) % 150); // an object that no slot is left for
  return [id, { slot, colour: report.colours[slot] || [shade, shade, shade], tint: id === "0" ? WEAK : STRONG }];
}));
const NOTHING = { slot: -1, colour: GREY, tint: 0 };

function paintSpread(canvas, d) {
  const gain = d.frame.peak / scale;
  paint(canvas, (i, out, o) => {
    const step = 3 * Math.round(d.spread[i] * gain);
    for (let c = 0; c < 3; c++) out[o + c] = heat[step + c];
    out[o + 3] = weight(d, i);
  });
}

function paintSlot(canvas, d, k) {
  const mask = d.masks[k], colours = d.appearance[k];
  if (state.view === "mask") return paint(canvas, (i, out, o) => { out[o] = out[o + 1] = out[o + 2] = mask[i]; });
  paint(canvas, (i, out, o) => {
    for (let c = 0; c < 3; c++) out[o + c] = colours[4 * i + c];
    if (state.view === "both") out[o + 3] = mask[i];
  });
}
