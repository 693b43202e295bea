/** What is looked at and how it is shown; the painting code that reports share reads these two. `at` is the frame on
    show, `wish` the one that was asked for last. */
export const report = { slots: 0, width: 1, height: 1, aspect: 1, roles: [], colours: [], ids: {}, judged: true, numbers: [], trails: {}, crop: [0, 0, 1, 1], frames: 0 };
export const state = { at: 0, wish: 0, slot: null, view: "both", playing: false, decoded: null, scale: 0.02, tab: "frames" };
export const facts = {};
const NEUTRAL = [150, 157, 168];

export const $ = (id) => document.getElementById(id);
export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const rgb = (colour, alpha = 1) => `rgb(${colour.join(" ")} / ${alpha})`;

/** The colour that stands for a slot: that of the background is neutral. */
export const tone = (slot, roles = report.roles) => (roles[slot] === "background" ? NEUTRAL : facts.colours[slot] || [0, 0, 0]);

export function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && Math.abs(value) < 1e-4) return value.toExponential(1);
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(digits)));
}

/** An element with properties, some text or children. */
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("aria-") || name === "role" || name.startsWith("data-")) node.setAttribute(name, value);
    else if (name === "colour") node.style.setProperty("--colour", value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}

export function announce(text) {
  $("announce").textContent = text;
}
