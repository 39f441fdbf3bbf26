// How a conversation looks: one list item a message. An item is made anew only when its message has changed, so that
// the focus and an open explanation stay where they are.
import { because, chip } from "./why.js";
import { chat, count, fill, live, make, part } from "./words.js";

const LATEST = 60; // messages drawn at first; the earlier ones are a button away
let from = 0, shownOf = null;

// Draw the path; `act` holds what the buttons do.
export function draw(talk, path, act) {
  if (shownOf !== talk.id) { shownOf = talk.id; from = Math.max(0, path.length - LATEST); }
  if (from >= path.length) from = Math.max(0, path.length - LATEST);
  part("earlier").hidden = from === 0;
  const old = new Map(Array.from(part("talk").children, (item) => [item.dataset.id, item]));
  const items = path.slice(from).map((message) => {
    const among = talk.messages.filter((one) => one.parent === message.parent && one.speaker === message.speaker);
    const key = JSON.stringify([message, among.map((one) => one.id)]);
    const before = old.get(message.id);
    if (before && before.dataset.key === key) return before;
    const item = said(message, among, act);
    item.dataset.key = key;
    item.classList.toggle("new", !before && message.speaker === "seeker" && Boolean(old.size));
    return item;
  });
  part("talk").replaceChildren(...items);
  part("empty").hidden = path.length > 0;
}

export function showEarlier() { from = Math.max(0, from - LATEST); }

// The growing reply; it has no buttons until it is done.
export function grow(message) {
  const list = part("talk");
  let item = list.querySelector(":scope > .growing");
  if (!item) {
    item = part("theirs").content.firstElementChild.cloneNode(true);
    item.classList.add("growing", "new");
    item.dataset.id = message.id;
    item.querySelector(".acts").remove();
    list.append(item);
  }
  item.querySelector(".words").textContent = message.text;
}

function said(message, among, act) {
  const mine = message.speaker === "seeker";
  const item = part(mine ? "mine" : "theirs").content.firstElementChild.cloneNode(true);
  item.dataset.id = message.id;
  item.querySelector(".words").textContent = message.text;
  versions(item, message, among, act);
  if (mine) item.querySelector(".edit").addEventListener("click", () => edit(item, message, act));
  else reply(item, message, act);
  return item;
}

function reply(item, message, act) {
  if (message.stopped) item.querySelector(".words").append(" ", make("span", { class: "cut", text: `[${chat.stopped}]` }));
  if (message.strategy) {
    const what = item.querySelector(".what"), stage = message.why && message.why.stage;
    what.append(chip(message.strategy), stage ? ` · ${stage}` : ""); what.hidden = false;
  }
  stars(item.querySelector(".stars"), message, act);
  item.querySelector(".again").addEventListener("click", () => act.again(message));
  const button = item.querySelector(".why"), panel = item.querySelector(".because");
  panel.id = `because-${message.id}`;
  button.setAttribute("aria-controls", panel.id);
  button.addEventListener("click", () => {
    panel.hidden = !panel.hidden;
    button.setAttribute("aria-expanded", String(!panel.hidden));
    if (!panel.hidden) panel.replaceChildren(...because(message));
    if (!panel.hidden) panel.scrollIntoView({ block: "nearest" });
  });
}

function versions(item, message, among, act) {
  const box = item.querySelector(".versions"), place = among.findIndex((one) => one.id === message.id);
  if (among.length < 2) return;
  box.hidden = false;
  box.querySelector(".count").textContent = fill(live.versions, { number: place + 1, all: among.length });
  for (const [name, step] of [["before", -1], ["after", 1]]) {
    const button = box.querySelector(`.${name}`), other = among[place + step];
    button.disabled = !other;
    button.addEventListener("click", () => act.show(other));
  }
}

function stars(box, message, act) {
  for (let number = 1; number <= 5; number += 1) {
    const input = make("input", { type: "radio", name: `stars-${message.id}`, value: number, "aria-label": count("stars", number) });
    input.checked = message.stars === number;
    input.addEventListener("change", () => act.stars(message, number));
    box.append(make("label", {}, input, make("span", { class: "star", "aria-hidden": "true", text: "★" })));
  }
}

function edit(item, message, act) {
  const form = part("editing").content.firstElementChild.cloneNode(true), field = form.querySelector("textarea");
  const rest = Array.from(item.children);
  field.value = message.text;
  const close = () => { form.remove(); for (const one of rest) one.classList.remove("away"); item.classList.remove("open"); item.querySelector(".edit").focus(); };
  form.querySelector(".cancel").addEventListener("click", close);
  form.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); close(); } });
  form.addEventListener("submit", (event) => { event.preventDefault(); if (field.value.trim()) act.say(field.value.trim(), message.parent || ""); });
  for (const one of rest) one.classList.add("away");
  item.classList.add("open");
  item.append(form);
  field.focus();
}
