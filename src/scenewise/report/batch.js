const ROWS = JSON.parse(document.getElementById("batch-data").textContent);
const PER_PAGE = 100;
const TONES = { "known footage": "fine", "doubtful footage": "doubt", "not validated": "doubt", "unknown footage": "bad", "undecided": "bad", "failed": "bad" };
const $ = (id) => document.getElementById(id);
const told = (row) => (row.state === "done" ? row.verdict : row.state);
const texts = new Map(ROWS.map((row) => [row, `${row.name} ${row.error}`.toLowerCase()]));
const names = new Intl.Collator(undefined, { numeric: true });
let chosen = ROWS;
let page = 0;

function element(tag, text, kind) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (kind) node.className = kind;
  return node;
}

function figure(value, label) {
  const cell = element("td", value, "figure");
  cell.dataset.label = label;
  return cell;
}

function line(row) {
  const tr = element("tr");
  const shot = element("td", undefined, "shot");
  if (row.picture) {
    const image = element("img");
    image.loading = "lazy";
    image.alt = "";
    image.src = row.picture;
    image.addEventListener("error", () => image.remove());
    shot.append(image);
  }
  const name = element("th");
  name.scope = "row";
  if (row.link) {
    const link = element("a", row.name);
    link.href = row.link;
    name.append(link);
  } else {
    name.textContent = row.name;
  }
  if (row.error) name.append(element("div", row.error, "error"));
  const verdict = element("td");
  verdict.append(element("span", told(row), `tag ${TONES[told(row)] || ""}`));
  const done = row.state === "done";
  tr.append(shot, name, verdict, figure(done ? row.objects : "", "objects"), figure(done ? row.frames.toLocaleString() : "", "frames"), figure(row.seconds ? row.seconds.toFixed(1) : "", "seconds"));
  return tr;
}

function draw() {
  const pages = Math.max(1, Math.ceil(chosen.length / PER_PAGE));
  page = Math.min(Math.max(page, 0), pages - 1);
  $("rows").replaceChildren(...chosen.slice(page * PER_PAGE, (page + 1) * PER_PAGE).map(line));
  $("count").textContent = chosen.length === ROWS.length ? `${ROWS.length.toLocaleString()}` : `${chosen.length.toLocaleString()} of ${ROWS.length.toLocaleString()}`;
  $("page").textContent = `page ${page + 1} of ${pages}`;
  $("back").disabled = page === 0;
  $("on").disabled = page === pages - 1;
}

function choose() {
  const words = $("find").value.toLowerCase();
  const kind = $("kind").value;
  const key = $("order").value;
  chosen = ROWS.filter((row) => (!kind || told(row) === kind) && (!words || texts.get(row).includes(words)));
  if (key === "verdict") chosen.sort((a, b) => names.compare(told(a), told(b)) || names.compare(a.name, b.name));
  else if (key === "name") chosen.sort((a, b) => names.compare(a.name, b.name));
  else chosen.sort((a, b) => b[key] - a[key]);
  page = 0;
  draw();
}

function turn(step) {
  page += step;
  draw();
  $("videos").scrollIntoView();
}

const counts = new Map();
for (const row of ROWS) counts.set(told(row), (counts.get(told(row)) || 0) + 1);
$("kind").append(new Option(`all (${ROWS.length.toLocaleString()})`, ""));
for (const [kind, count] of [...counts].sort()) $("kind").append(new Option(`${kind} (${count.toLocaleString()})`, kind));
$("find").addEventListener("input", choose);
$("kind").addEventListener("change", choose);
$("order").addEventListener("change", choose);
$("back").addEventListener("click", () => turn(-1));
$("on").addEventListener("click", () => turn(1));
$("videos").hidden = false;
choose();
