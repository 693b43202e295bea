/** Paths of objects through the frames that were looked at, in whatever order. */
import { facts, report } from "./context.js";
import { centres } from "./paint.js";

const MOST = 2000; // points of a path; those that were looked at longest ago go first
const GAP = 10; // frames that may lie between two points that are joined; a stream drops as many as it must
const SMALLEST = 0.002; // of the frame: less is not drawn as an object either
const paths = new Map(); // "slot track beginning" -> Map of frame number -> [number, x, y]

/** Write down where the slots of a frame are, and put the paths that lead there into the report. */
export function follow(head, d) {
  const size = d.width * d.height, trails = {};
  report.crop = [0, 0, d.height, d.width];
  if (facts.views) return;
  centres(d.labels).forEach(([x, y, count], k) => {
    const key = `${k} ${head.tracks[k]} ${head.note}`; // slots that begin anew are others
    if (!paths.has(key)) paths.set(key, new Map());
    const path = paths.get(key);
    path.delete(head.index); // seen anew: the newest in the order of going
    if (count >= SMALLEST * size) path.set(head.index, [head.index, x / count, y / count]);
    if (path.size > MOST) path.delete(path.keys().next().value);
    trails[k] = behind(path, head.index);
  });
  report.trails = trails;
}

/** Points up to a frame, from the last gap on. */
function behind(path, index) {
  const points = [...path.values()].filter(([number]) => number <= index).sort((a, b) => a[0] - b[0]);
  let start = points.length - 1;
  while (start > 0 && (facts.live || points[start][0] - points[start - 1][0] <= GAP)) start--;
  return points.slice(Math.max(0, start));
}
