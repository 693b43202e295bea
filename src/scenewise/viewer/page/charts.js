/** Curves with axes, and bars of distributions. */
import { css, number } from "./context.js";

function prepare(canvas, height) {
  const width = canvas.clientWidth, ratio = devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.font = "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
  context.textBaseline = "middle";
  return { context, width };
}

/** Draw curves, each { values, colour, x }; `at` marks a place. */
export function curves(canvas, lines, { at = null, height = 130 } = {}) {
  if (!canvas.clientWidth) return;
  const { context, width } = prepare(canvas, height), right = width - 10, top = 10, bottom = height - 22;
  const all = lines.flatMap((line) => line.values).filter((v) => v !== null);
  if (!all.length) return;
  let low = all.reduce((a, b) => Math.min(a, b)), high = all.reduce((a, b) => Math.max(a, b));
  if (low === high) { low -= Math.abs(low) * 0.05 || 1; high += Math.abs(high) * 0.05 || 1; }
  const marks = [0, 0.5, 1].map((share) => low + share * (high - low));
  const left = Math.max(50, 12 + Math.max(...marks.map((value) => context.measureText(number(value)).width)));
  const xs = lines.flatMap((line) => line.x || line.values.map((_, i) => i));
  const first = Math.min(...xs), last = Math.max(...xs, first + 1e-9);
  const x = (v) => left + ((v - first) / (last - first)) * (right - left), y = (v) => bottom - ((v - low) / (high - low)) * (bottom - top);
  context.lineWidth = 1;
  for (const value of marks) {
    context.strokeStyle = css("--line");
    context.beginPath();
    context.moveTo(left, y(value));
    context.lineTo(right, y(value));
    context.stroke();
    context.fillStyle = css("--muted");
    context.textAlign = "right";
    context.fillText(number(value), left - 8, y(value));
  }
  context.textAlign = "left";
  context.fillText(number(first), left, height - 8);
  context.textAlign = "right";
  context.fillText(number(last), right, height - 8);
  for (const { values, colour, x: places } of lines) {
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.beginPath();
    let pen = false;
    values.forEach((v, i) => {
      if (v === null) { pen = false; return; }
      const point = [x(places ? places[i] : i), y(v)];
      if (pen) context.lineTo(...point); else context.moveTo(...point);
      pen = true;
    });
    context.stroke();
    if (values.length <= 40) values.forEach((v, i) => { if (v !== null) { context.beginPath(); context.arc(x(places ? places[i] : i), y(v), 3, 0, 7); context.fill(); } });
  }
  if (at !== null) {
    context.strokeStyle = css("--ink");
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(x(at), top);
    context.lineTo(x(at), bottom);
    context.stroke();
  }
}

/** Prior above, posterior below, mean ± 2 sd, over the range of a slider; `value` marks where it stands. */
export function bars(canvas, { low, high, prior, posterior, value }) {
  if (!canvas.clientWidth) return;
  const { context, width } = prepare(canvas, 26), x = (v) => Math.min(Math.max(((v - low) / (high - low)) * width, 0), width);
  for (const [[mean, std], top, colour] of [[prior, 4, css("--muted")], [posterior, 14, css("--accent")]]) {
    context.fillStyle = colour;
    context.globalAlpha = 0.55;
    context.fillRect(x(mean - 2 * std), top, Math.max(2, x(mean + 2 * std) - x(mean - 2 * std)), 8);
    context.globalAlpha = 1;
    context.fillRect(x(mean) - 1, top - 1, 2, 10);
  }
  context.fillStyle = css("--ink");
  context.fillRect(x(value) - 1, 1, 2, 24);
}
