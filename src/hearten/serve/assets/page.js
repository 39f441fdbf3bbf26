// The chat page: what is open, what is being written, and what to say when the connection or the server is away.
// The conversation lives on the server; after every break the page asks for it again and goes on from there.
import { draw, grow, showEarlier } from "./draw.js";
import { care, startPeople } from "./people.js";
import { Refused, events, get, newId, post } from "./server.js";
import { chat, count, facts, fill, live, make, moment, part } from "./words.js";

const text = part("text"), scroll = part("scroll"), UNSENT = "hearten-unsent", DRAFT = "hearten-draft", CHIPS = "hearten-chips";
const reminder = facts.minors ? live.reminder_minors : live.reminder;
let talk = fresh(), talks = [], writing = false, stopping = false, pause = 500, timer = 0, atEnd = true;

function fresh() { return { id: newId(), head: null, messages: [], unknown: true }; }
function path() {
  const known = new Map(talk.messages.map((one) => [one.id, one])), found = [];
  for (let at = known.get(talk.head); at; at = known.get(at.parent)) found.push(at);
  return found.reverse();
}
function put(message) {
  const place = talk.messages.findIndex((one) => one.id === message.id);
  if (place < 0) talk.messages.push(message); else talk.messages[place] = message;
  talk.head = message.id;
}

// — what is shown —

function tell(sentence, ...buttons) {
  clearInterval(timer);
  part("state").hidden = !sentence;
  part("state-text").textContent = sentence || "";
  part("state-acts").replaceChildren(...buttons.map(([label, act]) => {
    const button = make("button", { type: "button", class: "quiet", text: label });
    button.addEventListener("click", act);
    return button;
  }));
}
function hear(sentence) { part("heard").textContent = ""; part("heard").textContent = sentence; }
function say(sentence, ...buttons) { tell(sentence, ...buttons); hear(sentence); }

function show() {
  const low = isLow(), way = path();
  draw(talk, way, { say: send, again: (message) => answer(message.parent), show: branch, stars: rate });
  const last = way.filter((one) => one.speaker === "supporter" && one.why).pop();
  const opened = care(last && last.why.care, last && last.why.region);
  part("more").hidden = talk.unknown;
  part("save-text").href = `/talks/${talk.id}/export.txt`;
  part("save-data").href = `/talks/${talk.id}/export.jsonl`;
  if (low) toLatest();
  return opened;
}
function isLow() { return scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 160; }
function toLatest() { scroll.scrollTop = scroll.scrollHeight; }
function setWriting(now) {
  writing = now; stopping = false;
  part("send").hidden = now; part("stop").hidden = !now; part("stop").disabled = false;
  part("talk").setAttribute("aria-busy", String(now));
}

function list() {
  const here = talks.find((row) => row.id === talk.id);
  part("title").textContent = talk.unknown ? chat.new : (here || talk).title || live.untitled;
  part("talks").replaceChildren(...talks.map((row) => {
    const button = make("button", { type: "button", "aria-current": row.id === talk.id ? "true" : null },
      make("span", { text: row.title || live.untitled }), make("small", { text: moment(row.updated) }));
    button.addEventListener("click", () => { closeSide(); open(row.id); });
    return make("li", {}, button);
  }));
  const searched = part("search").value.trim();
  part("no-talks").hidden = talks.length > 0;
  part("no-talks").textContent = searched ? chat.nothing_found : chat.none_yet;
}
async function refreshList() {
  try {
    talks = (await get(`/talks?q=${encodeURIComponent(part("search").value)}`)).talks;
    list();
  } catch { /* the list can wait until the connection is back */ }
}

// — saying and being answered —

function send(words, parent = talk.head || "") {
  const over = words.length - facts.longest;
  if (over > 0) { say(fill(live.too_long, { number: over })); return; }
  if (writing) return;
  const unsent = { talk: talk.id, parent, id: newId(), text: words };
  sessionStorage.setItem(UNSENT, JSON.stringify(unsent));
  put({ id: unsent.id, parent: parent || undefined, speaker: "seeker", text: words });
  text.value = ""; remember(); fit();
  show(); toLatest(); text.focus();
  converse("/talks/say", unsent);
}
function answer(to) {
  if (writing) return;
  talk.head = to; show(); toLatest();
  converse(`/talks/${talk.id}/reply`, { to });
}

async function converse(address, fields) {
  setWriting(true);
  tell(live.writing);
  try {
    let ended = false;
    for await (const news of events(address, fields)) { happen(news); ended = ["done", "stopped", "busy", "failed"].includes(news.kind); }
    if (!ended) throw new Error("cut off");
  } catch (error) {
    if (error instanceof Refused) refused(error.status, fields); else lost();
  }
}

function happen(news) {
  const low = isLow();
  if (news.kind === "saved") { sessionStorage.removeItem(UNSENT); talk.unknown = false; put(news.message); show(); refreshList(); }
  else if (news.kind === "notice") { part("talk").append(make("li", { class: "system", text: reminder })); hear(reminder); }
  else if (news.kind === "waiting") waiting(news.position);
  else if (news.kind === "reply") { if (!stopping) tell(live.writing); grow(news.message); }
  else ends[news.kind]?.(news);
  if (low) toLatest();
}
function waiting(position) {
  const first = part("state-text").dataset.kind !== "waiting", sentence = fill(live.waiting, { position });
  if (first) say(sentence); else tell(sentence);
  part("state-text").dataset.kind = "waiting";
}
const ends = {
  done(news) { settle(news.message); tell(""); const opened = show(); hear(fill(live.said, { text: news.message.text }) + (opened ? ` ${live.care_open}` : "")); refreshList(); },
  stopped(news) {
    settle(news.message); show();
    if (news.message) say(live.stopped); else say(live.stopped_empty, [live.get_reply, () => answer(talk.head)]);
  },
  failed(news) { settle(news.message); show(); say(live.failed, [live.try_again, retry]); },
  busy(news) { settle(); show(); countdown(news.retry_after); },
};
function settle(message) {
  setWriting(false);
  delete part("state-text").dataset.kind;
  part("talk").querySelector(":scope > .growing")?.remove();
  if (message) put(message);
}
function retry() {
  const last = path().pop();
  if (last) answer(last.speaker === "seeker" ? last.id : last.parent);
}
function countdown(seconds) {
  let left = Math.max(1, seconds);
  const buttons = [[live.try_now, retry], [live.not_now, () => say(live.busy_ended, [live.get_reply, retry])]];
  say(fill(live.busy, { seconds: left }), ...buttons);
  timer = setInterval(() => {
    left -= 1;
    if (left <= 0) { clearInterval(timer); retry(); } else part("state-text").textContent = fill(live.busy, { seconds: left });
  }, 1000);
}

async function stop() {
  stopping = true;
  part("stop").disabled = true;
  try { await post(`/talks/${talk.id}/stop`); } catch { /* then the connection is gone, and the reply with it */ }
  text.focus();
}

// — when something is away —

function refused(status, fields) {
  setWriting(false);
  part("talk").querySelector(":scope > .growing")?.remove();
  if (fields.text) takeBack(fields);
  const words = { 404: live.missing, 409: live.full, 413: fill(live.too_long, { number: "" }), 429: live.too_fast, 403: live.refused };
  if (status === 403) begin(true); else say(words[status] || live.failed);
}
// The message did not arrive: out of the conversation, back into the box.
function takeBack(fields) {
  sessionStorage.removeItem(UNSENT);
  talk.messages = talk.messages.filter((one) => one.id !== fields.id);
  talk.head = fields.parent || null;
  if (!text.value) text.value = fields.text;
  remember(); fit(); show();
}
function lost() {
  setWriting(false);
  part("talk").querySelector(":scope > .growing")?.remove();
  say(live.offline, [live.try_now, reconnect]);
  setTimeout(reconnect, pause);
  pause = Math.min(8000, pause * 2);
}
let reconnecting = false;
async function reconnect() {
  if (reconnecting || writing || part("desk").hidden) return;
  reconnecting = true;
  try {
    const found = await get("/talks");
    if (!found.accepted) { begin(true); return; }
    pause = 500;
    const unsent = JSON.parse(sessionStorage.getItem(UNSENT) || "null");
    const arrived = await load(unsent ? unsent.talk : talk.id).catch((error) => { if (error instanceof Refused) return null; throw error; });
    resume(unsent, arrived);
  } catch {
    setTimeout(reconnect, pause); pause = Math.min(8000, pause * 2);
  } finally { reconnecting = false; }
}
// Go on from what the server has: send what did not arrive, or ask for the reply that did not come.
function resume(unsent, arrived) {
  if (unsent && !(arrived && arrived.messages.some((one) => one.id === unsent.id))) {
    if (arrived) talk = arrived; else talk = { ...fresh(), id: unsent.talk };
    put({ id: unsent.id, parent: unsent.parent || undefined, speaker: "seeker", text: unsent.text });
    show(); converse("/talks/say", unsent);
    return;
  }
  sessionStorage.removeItem(UNSENT);
  if (!arrived) { tell(""); return; }
  talk = arrived; show(); refreshList();
  const last = path().pop();
  if (last && last.speaker === "seeker") answer(last.id);
  else if (last && last.stopped) say(live.cut, [live.try_again, retry]);
  else say(live.back);
}

// — conversations —

function load(id) { return get(`/talks/${encodeURIComponent(id)}`); }
async function open(id) {
  if (writing) await stop();
  try { talk = await load(id); } catch (error) { if (error instanceof Refused) say(live.missing); else lost(); return; }
  arrive();
}
function arrive() {
  tell("");
  show(); toLatest(); list();
  const last = path().pop();
  if (last && last.speaker === "seeker") tell(live.unanswered, [live.get_reply, retry]);
  text.focus();
}
async function startNew() { if (writing) await stop(); talk = fresh(); closeSide(); arrive(); }
async function branch(message) {
  if (writing) return;
  talk.head = (await post(`/talks/${talk.id}/show`, { message: message.id })).head;
  show(); refreshList();
  part("talk").querySelector(`[data-id="${CSS.escape(message.id)}"] .versions button:not([disabled])`)?.focus();
}
async function rate(message, stars) {
  try { await post(`/talks/${talk.id}/stars`, { message: message.id, stars }); message.stars = stars; } catch { say(live.failed); }
}
function sure(sentence) {
  const dialog = part("sure");
  part("sure-text").textContent = sentence;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((answered) => dialog.addEventListener("close", () => answered(dialog.returnValue === "yes"), { once: true }));
}
async function remove() {
  part("more").open = false;
  if (!(await sure(live.sure_one))) return;
  try { await post(`/talks/${talk.id}/delete`); } catch { say(live.failed); return; }
  await afterDeleting();
}
async function removeAll() {
  const all = (await get("/talks")).all;
  if (!(await sure(count("sure_all", all)))) return;
  try { await post("/talks/delete"); } catch { say(live.failed); return; }
  for (const key of [UNSENT, DRAFT]) sessionStorage.removeItem(key);
  text.value = ""; closeSide();
  await afterDeleting();
}
async function afterDeleting() { talk = fresh(); setWriting(false); arrive(); say(live.deleted); await refreshList(); }

// — the box, the side, the first screen —

function remember() { sessionStorage.setItem(DRAFT, text.value); }
function fit() { text.style.height = "auto"; text.style.height = `${text.scrollHeight + 2}px`; }
function openSide() { document.body.classList.add("side-open"); part("open-side").setAttribute("aria-expanded", "true"); part("close-side").focus(); }
function closeSide() {
  if (!document.body.classList.contains("side-open")) return;
  document.body.classList.remove("side-open");
  part("open-side").setAttribute("aria-expanded", "false");
  part("open-side").focus();
}
function only(id) { for (const one of ["unscripted", "first", "young", "desk"]) part(one).hidden = one !== id; part("open-side").hidden = id !== "desk"; document.body.classList.toggle("at-desk", id === "desk"); }

async function begin(gone = false) {
  let found;
  try { found = await get("/talks"); } catch { only("desk"); lost(); return; }
  if (!found.accepted) { part("gone").hidden = !gone; talk = fresh(); only("first"); part("first-title").focus(); return; }
  if (gone) { only("desk"); say(live.refused); return; }
  await enter(found);
}
async function enter(found) {
  only("desk");
  talks = found.talks;
  const unsent = JSON.parse(sessionStorage.getItem(UNSENT) || "null");
  if (unsent) { list(); await reconnect(); return; }
  if (talks.length) await open(talks[0].id); else arrive();
}
async function accept() {
  part("first-problem").hidden = true;
  try { await post("/talks/accept"); await enter(await get("/talks")); } catch { part("first-problem").hidden = false; }
}

part("write").addEventListener("submit", (event) => { event.preventDefault(); const words = text.value.trim(); if (words) send(words); });
text.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); part("write").requestSubmit(); } });
text.addEventListener("input", () => { remember(); fit(); });
part("stop").addEventListener("click", stop);
part("new").addEventListener("click", startNew);
part("delete").addEventListener("click", remove);
part("delete-all").addEventListener("click", removeAll);
part("open-side").addEventListener("click", openSide);
part("close-side").addEventListener("click", closeSide);
part("latest").addEventListener("click", () => { toLatest(); text.focus(); });
part("earlier").addEventListener("click", () => { const high = scroll.scrollHeight; showEarlier(); show(); scroll.scrollTop += scroll.scrollHeight - high; });
scroll.addEventListener("scroll", () => { atEnd = isLow(); part("latest").hidden = atEnd; });
document.addEventListener("keydown", (event) => { if (event.key !== "Escape" || part("sure").open) return; if (writing) stop(); else closeSide(); });
for (const button of part("empty").querySelectorAll("button")) button.addEventListener("click", () => { text.value = button.textContent; remember(); fit(); text.focus(); });
let searching = 0;
part("search").addEventListener("input", () => { clearTimeout(searching); searching = setTimeout(async () => { await refreshList(); if (part("search").value.trim()) hear(count("found", talks.length)); }, 250); });
part("chips").checked = localStorage.getItem(CHIPS) === "yes";
part("chips").addEventListener("change", () => { localStorage.setItem(CHIPS, part("chips").checked ? "yes" : "no"); chips(); });
function chips() { document.body.classList.toggle("with-chips", part("chips").checked); }
part("accept").addEventListener("click", accept);
part("younger")?.addEventListener("click", () => { only("young"); part("young-title").focus(); });
part("young-back").addEventListener("click", () => { only("first"); part("first-title").focus(); });
window.addEventListener("online", reconnectSoon);
function reconnectSoon() { if (part("state-text").textContent === live.offline) reconnect(); }
new ResizeObserver(() => { if (atEnd) toLatest(); }).observe(scroll);

chips();
startPeople();
text.value = sessionStorage.getItem(DRAFT) || "";
begin().then(fit);
