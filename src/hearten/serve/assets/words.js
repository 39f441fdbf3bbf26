// The sentences of the page, in its language, and the small ways to fill them.
const table = JSON.parse(document.getElementById("words").textContent);
export const facts = JSON.parse(document.getElementById("facts").textContent);
export const { live, why, people, chat } = table;
const language = document.documentElement.lang;

export function fill(sentence, values) {
  return sentence.replace(/{(\w+)}/g, (whole, name) => (name in values ? values[name] : whole));
}
export function count(name, number) {
  return fill(live[`${name}.${number === 1 ? "one" : "other"}`], { number });
}
export function moment(seconds) {
  const at = new Date(seconds * 1000), today = new Date().toDateString() === at.toDateString();
  const how = today ? { hour: "2-digit", minute: "2-digit" } : { day: "numeric", month: "short" };
  return new Intl.DateTimeFormat(language, how).format(at);
}
export function percent(share) {
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }).format(share);
}

// An element with text; text is only ever set as text, never as HTML.
export function make(tag, values = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(values)) {
    if (name === "text") element.textContent = value;
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...inside);
  return element;
}
export const part = (id) => document.getElementById(id);
