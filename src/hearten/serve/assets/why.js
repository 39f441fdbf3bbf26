// Why this reply: the numbers the program worked with, as small bars, and a plain sentence what they are not.
import { facts, fill, make, percent, why } from "./words.js";

const strategies = new Map(facts.strategies.map((row, number) => [row.name, { ...row, css: `s${number % 8}` }]));
const MOST = 4; // emotions shown

// The coloured chip with the abbreviation beside it.
export function chip(name) {
  const known = strategies.get(name) || { name, short: name.slice(0, 2), css: "" };
  return make("span", { class: `chip ${known.css}` }, make("abbr", { title: known.name, text: known.short }), ` ${known.name}`);
}

export function because(message) {
  const seen = message.why, inside = [make("p", { text: why.lead })];
  if (!seen) return [...inside, make("p", { class: "soft", text: message.stopped ? why.stopped : why.nothing })];
  const sections = [chosen(message, seen), read(seen), rated(seen), safety(seen)].filter(Boolean);
  return [...inside, ...sections.flat()];
}

function chosen(message, seen) {
  const known = strategies.get(message.strategy), found = [];
  if (!known && !seen.probabilities) return [heading(why.strategies), make("p", { class: "soft", text: why.nothing })];
  found.push(heading(why.strategies));
  if (known) found.push(make("p", { text: fill(why.chosen, { name: known.name, text: known.text }) }));
  const stage = seen.stage || (known && known.stages.length === 1 ? known.stages[0] : "");
  if (stage) found.push(make("p", { text: fill(why.stage, { stage }) }));
  if (seen.probabilities) found.push(make("p", { class: "soft", text: why.strategies_hint }), bars(seen.probabilities, message.strategy));
  return found;
}

function read(seen) {
  if (!seen.emotion) return null;
  const scores = Object.fromEntries(Object.entries(seen.emotion.scores || {}).sort((a, b) => b[1] - a[1]).slice(0, MOST));
  const label = make("p", {}, `${why.emotion_hint} `, make("strong", { text: seen.emotion.label }));
  return [heading(why.emotion), label, ...(Object.keys(scores).length ? [bars(scores, seen.emotion.label)] : [])];
}

function rated(seen) {
  if (!seen.verdicts || !seen.verdicts.length) return null;
  const rows = seen.verdicts.map((row) => {
    const word = row.helpful === undefined || row.helpful === null ? why.unscored : row.helpful ? why.helpful : why.unhelpful;
    return make("li", { text: `${row.facet}: ${row.label ? `${row.label} (${word})` : word}` });
  });
  return [heading(why.verdicts), make("ul", { class: "plain" }, ...rows)];
}

function safety(seen) {
  const lines = [seen.changed ? why.changed : why.unchanged];
  if (seen.links && seen.links.length) lines.unshift(fill(why.links, { links: seen.links.join(" → ") }));
  if (seen.care && seen.care !== "calm") lines.push(why.care);
  return [heading(why.safety), make("p", { text: lines.join(" ") })];
}

function heading(text) { return make("h2", { text }); }

// Label, bar and percentage of every name, the largest first.
function bars(shares, marked) {
  const rows = Object.entries(shares).sort((a, b) => b[1] - a[1]).map(([name, share]) => {
    const bar = make("span", { class: "fill" }), known = strategies.get(name);
    bar.style.width = `${Math.max(1, 100 * share)}%`;
    const label = known ? chip(name) : make("span", { text: name });
    return make("li", { class: `${known ? known.css : ""}${name === marked ? " marked" : ""}` },
      label, make("span", { class: "track", "aria-hidden": "true" }, bar), make("span", { class: "number", text: percent(share) }));
  });
  return make("ul", { class: "shares" }, ...rows);
}
