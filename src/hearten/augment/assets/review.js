// Keys for reviewers, and a button that says when words were changed. Without scripts the form works as well.
"use strict";
const form = document.getElementById("decision");
const accept = form.querySelector("button[value=accept]");
const plain = accept.textContent;
const texts = [...form.querySelectorAll("textarea, select")];
for (const field of texts) field.dataset.first = field.value;
function mark() {
  let any = false;
  for (const field of texts) {
    const differs = field.value !== field.dataset.first;
    field.classList.toggle("changed", differs);
    any ||= differs;
  }
  accept.textContent = any ? accept.dataset.edited : plain;
}
form.addEventListener("input", mark);
const actions = {
  a: () => accept.click(),
  d: () => form.querySelector("button[value=discard]").click(),
  u: () => document.getElementById("undo").requestSubmit(),
  l: () => document.getElementById("later").click(),
  e: () => form.querySelector(".turns textarea").focus(),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const writing = event.target.matches("input, textarea, select");
  if (event.key === "Escape" && writing) { event.target.blur(); return; }
  if (!writing && actions[event.key]) { event.preventDefault(); actions[event.key](); }
});
