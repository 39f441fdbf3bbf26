// A chat that loses nothing: what is sent keeps an id of its own and is sent again after every reconnection until
// it comes back as a numbered event. Text is only ever set as text, never as HTML.
"use strict";
const box = document.getElementById("chat"), talk = document.getElementById("talk");
const words = JSON.parse(document.getElementById("words").textContent);
const role = box.dataset.role, memory = `hearten-outbox-${box.dataset.room}-${role}`;
const part = (id) => document.getElementById(id);
const write = part("write"), text = part("text"), stars = part("stars"), notice = part("notice");
let socket = null, seen = 0, greeted = false, pause = 250, state = null, stateAt = 0, typingAt = 0, suggested = "";
let outbox = JSON.parse(sessionStorage.getItem(memory) || "[]");
const strategies = {};
for (const input of document.querySelectorAll("input[name=strategy]")) {
  const label = input.parentElement;
  strategies[input.value] = { css: label.className, short: label.querySelector("abbr").textContent };
}

function remember() { sessionStorage.setItem(memory, JSON.stringify(outbox)); }
function newId() { return Array.from(crypto.getRandomValues(new Uint8Array(12)), (n) => n.toString(16).padStart(2, "0")).join(""); }
function transmit(frame) { if (greeted && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame)); }
function post(frame) { frame.id = newId(); outbox.push(frame); remember(); if (frame.type === "message") draw({ ...frame, role, kind: "message" }, true); transmit(frame); }
function settle(id) { const before = outbox.length; outbox = outbox.filter((frame) => frame.id !== id); if (outbox.length !== before) remember(); }
function tell(words) { notice.textContent = words; notice.hidden = !words; }

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${box.dataset.live}`);
  greeted = false;
  socket.onopen = () => socket.send(JSON.stringify({ type: "hello", seen }));
  socket.onmessage = (message) => receive(JSON.parse(message.data));
  socket.onclose = (event) => {
    greeted = false;
    if (event.code === 4403) { location.reload(); return; }
    if (state && state.ended) return;
    part("presence").textContent = words.reconnecting;
    setTimeout(connect, pause); pause = Math.min(4000, pause * 2);
  };
}

function receive(frame) {
  if (frame.type === "events") {
    for (const event of frame.events) if (event.seq === seen + 1) { seen = event.seq; happen(event); } else if (event.id) settle(event.id);
    state = frame.state; stateAt = Date.now();
    if (!greeted) { greeted = true; pause = 250; for (const waiting of outbox) transmit(waiting); }
    refresh();
  } else if (frame.type === "presence" && state) { state.partner = frame.here; refresh(); }
  else if (frame.type === "typing") { part("typing").textContent = words.typing; clearTimeout(typingAt); typingAt = setTimeout(() => { part("typing").textContent = ""; }, 4000); }
  else if (frame.type === "refused") refuse(frame);
  else if (frame.type === "suggestion") {
    text.value = suggested = frame.text; text.focus();
    const input = Array.from(write.elements).find((one) => one.name === "strategy" && one.value === frame.strategy);
    if (input) { input.checked = true; explain(input); }
  }
}

function happen(event) {
  if (event.id) { settle(event.id); const sending = document.querySelector(`.talk > [data-id="${CSS.escape(event.id)}"]`); if (sending) sending.remove(); }
  if (event.kind === "message") draw(event, false);
  if (event.kind === "message" && event.role !== role) part("typing").textContent = "";
  if (event.flags) tell(event.flags.map((flag) => words[`flag_${flag}`]).join(" "));
  if (event.kind === "care") part("help").hidden = false;
  if (event.kind === "end") say(words[`end_${event.reason}${event.role === role ? "" : "_partner"}`] || words.end_finished);
}

function draw(event, sending) {
  const line = document.createElement("p"), mine = event.role === role;
  line.className = `${mine ? "mine" : ""} ${sending ? "sending" : "new"}`;
  if (event.id) line.dataset.id = event.id;
  const look = event.strategy && strategies[event.strategy];
  if (look) {
    const chip = document.createElement("span"), short = document.createElement("abbr");
    chip.className = `chip ${look.css}`; short.textContent = short.title = look.short;
    chip.append(short, ` ${event.strategy}`); line.append(chip);
  }
  line.append(document.createTextNode(event.text));
  add(line);
}
function say(sentence) { const line = document.createElement("p"); line.className = "system"; line.textContent = sentence; add(line); }
function add(line) { const low = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 120; talk.append(line); if (low || line.classList.contains("mine")) talk.scrollTop = talk.scrollHeight; }

function refuse(frame) {
  const lost = outbox.find((waiting) => waiting.id === frame.id);
  settle(frame.id);
  const line = frame.id && document.querySelector(`.talk > [data-id="${CSS.escape(frame.id)}"]`);
  if (line) line.remove();
  if (lost && lost.type === "message" && !text.value) text.value = lost.text;
  tell(words[`refused_${frame.reason}`] || words.refused_unreadable);
}

function refresh() {
  if (!state) return;
  const gone = (Date.now() - stateAt) / 1000, ended = Boolean(state.ended), live = greeted && !ended;
  part("presence").textContent = ended ? words.over : !greeted ? words.reconnecting : state.partner ? words.here : words.away;
  part("progress").textContent = words.exchanges.replace("{done}", state.exchanges).replace("{wanted}", state.wanted);
  stars.hidden = !state.stars_due || ended;
  text.disabled = !live || state.stars_due; part("send").disabled = text.disabled;
  part("write-label").textContent = state.stars_due ? words.stars_first : words.write;
  const finish = part("finish"), left = state.end_in - gone;
  if (finish) {
    finish.disabled = !live || state.stars_due || left > 0 || state.exchanges < state.wanted;
    finish.title = left > 0 ? words.minutes_left.replace("{minutes}", Math.ceil(left / 60)) : "";
  }
  part("silent").hidden = ended || state.silent_in - gone > 0;
  part("leave").hidden = ended; if (finish) finish.hidden = ended;
  write.hidden = ended; part("over").hidden = !ended;
}

function explain(input) { part("explain").hidden = false; part("definition").textContent = input.dataset.explain; part("example").textContent = `“${input.dataset.example}”`; }

write.addEventListener("submit", (event) => {
  event.preventDefault();
  const value = text.value.trim(), chosen = write.elements.strategy && write.querySelector("input[name=strategy]:checked");
  if (!value) return;
  if (role === "supporter" && !chosen) { tell(words.refused_no_strategy); return; }
  tell("");
  const frame = { type: "message", text: value };
  if (chosen) { frame.strategy = chosen.value; chosen.checked = false; part("explain").hidden = true; if (suggested) frame.suggested = true; suggested = ""; }
  post(frame);
  text.value = ""; text.focus();
});
text.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); write.requestSubmit(); } });
let told = 0;
text.addEventListener("input", () => { if (Date.now() - told > 2500) { told = Date.now(); transmit({ type: "typing" }); } });
for (const input of document.querySelectorAll("input[name=strategy]")) input.addEventListener("change", () => explain(input));
stars.addEventListener("submit", (event) => {
  event.preventDefault();
  const chosen = stars.querySelector("input:checked");
  if (!chosen) return;
  post({ type: "stars", stars: Number(chosen.value) });
  chosen.checked = false; stars.hidden = true;
});
const ends = { finish: "finished", silent: "silent", leave: "left" };
for (const [id, reason] of Object.entries(ends)) {
  const button = part(id);
  if (!button) continue;
  button.addEventListener("click", () => {
    if (reason === "left" && button.dataset.sure !== "yes") { button.dataset.sure = "yes"; button.textContent = words.leave_sure; return; }
    post({ type: "end", reason });
  });
}
part("help-close").addEventListener("click", () => { part("help").hidden = true; text.focus(); });
if (part("suggest")) part("suggest").addEventListener("click", () => transmit({ type: "suggest" }));
new ResizeObserver(() => { talk.scrollTop = talk.scrollHeight; }).observe(talk);
setInterval(refresh, 1000);
connect();
