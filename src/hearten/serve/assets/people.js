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
  part("care-lines").replaceChildren(emergency(row), ...row.lines.filter((line) => line.topic === "crisis").map(listed));
  part("care-more").href = `/people?region=${encodeURIComponent(row.code)}`;
  const young = row.lines.filter((line) => line.topic === "minor");
  part("young-lines").replaceChildren(make("ul", { class: "plain" }, ...(young.length ? young : row.lines.filter((line) => line.topic === "crisis")).map(listed), emergency(row)));
}

function emergency(row) {
  return make("li", {}, `${people.emergency}: `, ...reached(row.emergency));
}
function listed(line) {
  const always = line.always ? [" ", make("span", { class: "soft", text: `(${people.always})` })] : [];
  return line.name.includes(line.contact) ? make("li", {}, ...reached(line.name), ...always) : make("li", {}, `${line.name}: `, ...reached(line.contact), ...always);
}

// The text with its number as a link that calls, or its site as a link.
function reached(text) {
  const site = text.match(/[a-z]+\.com/);
  if (site) return [text.slice(0, site.index), link(site[0], `https://${site[0]}`, true), text.slice(site.index + site[0].length)];
  const number = text.match(/^[^0-9]*([0-9][0-9 -]*[0-9])$/);
  if (!number) return [make("strong", { text })];
  return [text.slice(0, text.length - number[1].length), link(number[1], `tel:${number[1].replace(/[^0-9]/g, "")}`, false)];
}
function link(text, href, away) {
  return make("a", { href, text, class: "call", ...(away ? { target: "_blank", rel: "noopener noreferrer" } : {}) });
}
