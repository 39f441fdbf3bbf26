// People to talk to: the lines of a region, in the care panel and for young visitors. Calm, short, and one tap to call.
import { facts, make, part, people } from "./words.js";

const KEPT = "hearten-region";
const regions = new Map(facts.regions.map((row) => [row.code, row]));
let shownFor = null;

export function startPeople() {
  for (const select of document.querySelectorAll("select.regions")) {
    select.append(...facts.regions.map((row) => make("option", { value: row.code, text: row.name })));
    select.value = place();
    select.addEventListener("change", () => { sessionStorage.setItem(KEPT, select.value); draw(); });
  }
  draw();
}

// Show the panel while the care path is open; true when it has just opened.
export function care(state, region) {
  const panel = part("care"), open = Boolean(state) && state !== "calm";
  if (region && regions.has(region) && !sessionStorage.getItem(KEPT)) { sessionStorage.setItem(KEPT, region); draw(); }
  const opened = open && (panel.hidden || (state === "open" && shownFor !== "open"));
  if (opened) panel.open = true;
  panel.hidden = !open;
  shownFor = open ? state : null;
  return opened;
}

function place() {
  const kept = sessionStorage.getItem(KEPT);
  return regions.has(kept) ? kept : facts.regions[0].code;
}

function draw() {
  const row = regions.get(place());
  for (const select of document.querySelectorAll("select.regions")) select.value = row.code;
  part("care-lines").replaceChildren(...row.lines.filter((line) => line.topic === topic(row)).map(listed), emergency(row));
  part("care-more").href = `/people?region=${encodeURIComponent(row.code)}&lang=${document.documentElement.lang}`;
  const young = row.lines.filter((line) => line.topic === "minor");
  part("young-lines").replaceChildren(make("ul", { class: "plain" }, ...(young.length ? young : row.lines.filter((line) => line.topic === "crisis")).map(listed), emergency(row)));
}

// Minors are shown their own lines where the region has some.
function topic(row) { return facts.minors && row.lines.some((line) => line.topic === "minor") ? "minor" : "crisis"; }
function emergency(row) { return make("li", {}, `${people.emergency}: `, ...reached(row.emergency)); }
function listed(line) {
  const always = line.always ? [" ", make("span", { class: "soft", text: `(${people.always})` })] : [];
  return make("li", {}, line.name ? `${line.name}: ` : "", ...reached(line.contact), ...always);
}

// The words of a contact with what can be called or opened in them as a link.
function reached(way) {
  if (!way.href) return [make("strong", { text: way.link })];
  const away = way.href.startsWith("http") ? { target: "_blank", rel: "noopener noreferrer" } : {};
  return [way.before, make("a", { href: way.href, text: way.link, class: "call", ...away }), way.after];
}
