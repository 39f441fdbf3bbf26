// The clock of the waiting page; asks every two seconds whether a partner was found, and moves on when one was.
"use strict";
const clock = document.getElementById("clock");
const since = Date.now() - 1000 * Number(clock.dataset.waited);
setInterval(() => {
  const seconds = Math.floor((Date.now() - since) / 1000);
  clock.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}, 500);
async function ask() {
  try {
    const answer = await fetch(clock.dataset.status, { headers: { accept: "application/json" } });
    if (answer.ok && (await answer.json()).step !== "waiting") { location.reload(); return; }
  } catch { /* the server is away for a moment: ask again */ }
  setTimeout(ask, 2000);
}
ask();
