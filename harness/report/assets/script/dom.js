// What the other parts share. Text of the page is only ever put in as text.
const $ = (id) => document.getElementById(id);
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const make = (tag, properties = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined) continue;
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
};
const on = (node, type, act) => node.addEventListener(type, act);
const button = (id, textContent, more) => make("button", { id, type: "button", textContent, ...more });
const pressed = (toggle) => toggle.getAttribute("aria-pressed") === "true";
const press = (toggle, is) => toggle.setAttribute("aria-pressed", String(is));
// Only a report has cases.
const cases = $("data") ? JSON.parse($("data").textContent).cases : [];
const byAnchor = new Map(cases.map((one) => [one.anchor, one]));
const root = document.documentElement;
root.classList.add("js");
