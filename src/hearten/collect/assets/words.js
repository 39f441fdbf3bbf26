// Shows how many words a text field holds.
"use strict";
for (const output of document.querySelectorAll("output[data-words-of]")) {
  const field = document.getElementById(output.dataset.wordsOf);
  const show = () => { output.textContent = field.value.trim() ? field.value.trim().split(/\s+/).length : 0; };
  field.addEventListener("input", show);
  show();
}
