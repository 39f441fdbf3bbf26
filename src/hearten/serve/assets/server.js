// What the page asks of the server: small JSON answers, and replies as a stream of events.
// Everything goes to this server and nowhere else; the content policy would not allow more.
const facts = JSON.parse(document.getElementById("facts").textContent);
const SILENCE = 25000; // the server gives a sign of life every ten seconds: after this long nobody is there

export class Refused extends Error {
  constructor(status) { super(`refused: ${status}`); this.status = status; }
}

export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (n) => n.toString(16).padStart(2, "0")).join("");
}

export async function get(address) {
  return answered(await fetch(address, { headers: { accept: "application/json" } }));
}

export async function post(address, fields = {}) {
  return answered(await fetch(address, form(fields)));
}

async function answered(answer) {
  if (!answer.ok) throw new Refused(answer.status);
  return answer.json();
}

function form(fields) {
  return { method: "POST", headers: { accept: "application/json", "x-csrf-token": facts.csrf }, body: new URLSearchParams(fields) };
}

// The events that answer one POST, one object each. Throws Refused where the server said no, anything else where the
// connection broke.
export async function* events(address, fields) {
  const end = new AbortController();
  let silence = setTimeout(() => end.abort(), SILENCE);
  try {
    const answer = await fetch(address, { ...form(fields), signal: end.signal });
    if (!answer.ok) throw new Refused(answer.status);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(silence); silence = setTimeout(() => end.abort(), SILENCE);
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) yield JSON.parse(part.replace(/^data: /, ""));
    }
  } finally {
    clearTimeout(silence);
    end.abort();
  }
}
