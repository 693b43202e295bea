"use strict";

const $ = (id) => document.getElementById(id);
const report = JSON.parse($("report-data").textContent);
const frames = JSON.parse($("frame-data").textContent);
const { slots: K, width: W, height: H, timeline } = report;
const SIZE = W * H;
const MEMORY = 96e6; // bytes of decoded frames kept at most

const state = { at: 0, slot: null, view: "both", playing: false, decoded: null, scale: 1 };
if (!frames.length) return;
state.scale = Math.max(...frames.map((f) => f.peak), 0.02); // below 0.02 of the colour range nothing is worth a bright colour

/* ---------- Pictures: from three sheets to plain arrays ---------- */

const cache = new Map(); // position in `frames` -> Promise of arrays, least recently used first
const CACHED = Math.max(4, Math.floor(MEMORY / (SIZE * (4 * (2 + K) + 3 + K))));

function picture(base64, type) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type }), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
}

async function sheet(base64, type) {
  const bitmap = await picture(base64, type);
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
  const photograph = frame.source ? await picture(frame.source, "image/jpeg") : null;
  const perSlot = (make) => Array.from({ length: K }, (_, k) => make(k));
  return {
    frame, photograph,
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
