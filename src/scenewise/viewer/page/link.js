/** Questions to the model and its answers: JSON one way, binary frames the other. */
import { $, facts, report, state, tone } from "./context.js";

const waiting = new Map(); // id -> { resolve, reject }
const types = { u1: Uint8Array, u2: Uint16Array, f4: Float32Array, file: Uint8Array };
let socket = null, opened = null, next = 1;

function connect() {
  const address = new URL("link", location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  address.search = "";
  socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  socket.addEventListener("message", ({ data }) => take(data));
  socket.addEventListener("close", () => {
    socket = opened = null;
    for (const { reject } of waiting.values()) reject(new Error("The server has gone. Start it again, then reload this page."));
    waiting.clear();
  });
  opened = new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", () => reject(new Error("The server cannot be reached. Start it again, then reload this page.")));
  });
  return opened;
}

function take(data) {
  const length = new DataView(data).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  const asked = waiting.get(head.id);
  waiting.delete(head.id);
  if (!asked) return;
  if (head.superseded) return asked.resolve(null);
  if (head.error) return asked.reject(new Error([`${head.error.subject}: ${head.error.problem}`, head.error.remedy].filter(Boolean).join(" ")));
  head.data = {};
  for (const { name, type, shape, at } of head.arrays) {
    const count = shape.reduce((a, b) => a * b, 1);
    head.data[name] = { values: new types[type](data, 4 + length + at, count), shape };
  }
  asked.resolve(head);
}

/** Ask for something; null where a newer question of the same channel took its place. */
export async function ask(what, details = {}) {
  try {
    await (opened || connect());
    const id = next++;
    const answer = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
    socket.send(JSON.stringify({ ...details, id, do: what }));
    const head = await answer;
    if (head) $("trouble").hidden = true;
    return head;
  } catch (error) {
    trouble(error.message);
    return null;
  }
}

export function trouble(text) {
  $("trouble").querySelector("p").textContent = text;
  $("trouble").hidden = false;
}

/** Pixels without transparency, three bytes each, as four. */
export function opaque(values) {
  const pixels = new Uint8ClampedArray((values.length / 3) * 4).fill(255);
  for (let i = 0, o = 0; i < values.length; i += 3, o += 4) {
    pixels[o] = values[i];
    pixels[o + 1] = values[i + 1];
    pixels[o + 2] = values[i + 2];
  }
  return pixels;
}

/** An answer's arrays as the painting code has them. */
export function pictures(head) {
  const { data } = head, [H, W] = data.reconstruction.shape, size = H * W, K = head.slots || data.masks.shape[0];
  const slotsOf = (name, from, step) => data[name] && Array.from({ length: K }, (_, k) => from(data[name].values.subarray(k * step, (k + 1) * step)));
  return {
    frame: { seen: true, peak: head.peak || 0, index: head.index },
    input: data.input && opaque(data.input.values),
    reconstruction: opaque(data.reconstruction.values),
    labels: data.labels.values,
    ids: data.ids && data.ids.values,
    spread: data.spread ? data.spread.values : new Uint8Array(size),
    masks: slotsOf("masks", (part) => part, size),
    shares: slotsOf("responsibilities", (part) => part, size),
    appearance: slotsOf("appearance", opaque, 3 * size),
    width: W, height: H, slots: K, facts,
  };
}

/** The roles of slots of another explanation: the one that owns most of what the background owns here is its own. */
export function rolesLike({ labels, width, height, slots }) {
  const own = state.decoded, shared = new Array(slots).fill(0), owned = new Array(slots).fill(0);
  labels.forEach((label, i) => {
    const y = Math.floor((Math.floor(i / width) * own.height) / height), x = Math.floor(((i % width) * own.width) / width);
    owned[label]++;
    if (report.roles[own.labels[y * own.width + x]] === "background") shared[label]++;
  });
  const most = shared.indexOf(Math.max(...shared));
  return shared.map((count, k) => (k === most && 2 * count > owned[k] ? "background" : ""));
}

/** Put pixels of four bytes onto a canvas of their own size. */
export function put(canvas, pixels, width, height) {
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
}

/** Slots in their colours, background grey, as pixels of four bytes. */
export function coloured(labels, roles) {
  const pixels = new Uint8ClampedArray(labels.length * 4).fill(255);
  labels.forEach((label, i) => {
    const colour = tone(label, roles);
    for (let c = 0; c < 3; c++) pixels[4 * i + c] = colour[c];
  });
  return pixels;
}
