"use strict";
const find = (id) => document.getElementById(id);
const steps = JSON.parse(find("steps").textContent);
const [figure, panel, slider] = ["graph", "panel", "slider"].map(find);
const last = steps.length - 1;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let now = 0;
let timer = 0;

function add(parent, tag, text, kind) {
  const element = document.createElement(tag);
  element.textContent = text; // never as HTML: names are the user's
  if (kind) element.className = kind;
  parent.append(element);
  return element;
}

function describe(step) {
  panel.replaceChildren();
  const title = add(panel, "h2", step.title + " ");
  if (step.way !== "start") add(title, "small", step.way);
  for (const line of step.formula) add(panel, "p", line, "formula");
  for (const line of step.notes) add(panel, "p", line, "note");
  if (!step.rows.length) return;
  const table = add(panel, "table", "");
  const head = add(table, "tr", "", "head");
  for (const word of ["name", "what it is", "shape", "value"]) add(head, "th", word).scope = "col";
  for (const [name, about, shape, value, gradient] of step.rows) {
    const row = add(table, "tr", "", gradient ? "gradient" : "");
    add(row, "th", name).scope = "row";
    add(row, "td", about, "about");
    add(row, "td", shape, "about");
    add(row, "td", value, value.includes("\n") ? "value rows" : "value");
  }
}

function way(from, to, start, end) { // how far to scroll to what is not in sight
  const room = 100; // for the numbers beside it
  if (from > start + room && to < end - room) return 0;
  return (from + to - start - end) / 2;
}

function follow(element, smooth) { // scrolls the picture, never the page
  const [inner, outer] = [element, figure].map((one) => one.getBoundingClientRect());
  figure.scrollBy({
    left: way(inner.left, inner.right, outer.left, outer.right),
    top: way(inner.top, inner.bottom, outer.top, outer.bottom),
    behavior: smooth && !calm.matches ? "smooth" : "auto",
  });
}

function go(k) {
  const before = now;
  now = Math.min(Math.max(k, 0), last);
  const step = steps[now];
  document.body.dataset.way = step.way;
  for (const one of figure.querySelectorAll(".lit")) one.classList.remove("lit");
  for (const id of step.lit) find(id)?.classList.add("lit");
  for (const one of figure.querySelectorAll("[data-from]"))
    one.classList.toggle("away", now < Number(one.dataset.from));
  for (const one of figure.querySelectorAll("[data-until]"))
    one.classList.toggle("away", now >= Number(one.dataset.until));
  if (step.lit.length) follow(find(step.lit[0]), Math.abs(now - before) === 1);
  else figure.scrollTo(0, 0);
  describe(step);
  slider.value = now;
  slider.setAttribute("aria-valuetext", step.counter);
  find("counter").textContent = step.counter;
  if (location.hash !== "#" + now) history.replaceState(null, "", "#" + now);
}

function play(on) {
  clearInterval(timer);
  timer = on ? setInterval(() => (now < last ? go(now + 1) : play(false)), 1500) : 0;
  const [sign, word] = find("play").children;
  sign.textContent = on ? "❙❙" : "▶";
  word.textContent = on ? "pause" : "play";
  if (on) go(now < last ? now + 1 : 0);
}

function move(k) {
  play(false);
  go(k);
}

function linked() {
  move(parseInt(location.hash.slice(1)) || 0);
}

const keys = {
  ArrowLeft: () => move(now - 1),
  ArrowRight: () => move(now + 1),
  Home: () => move(0),
  End: () => move(last),
  " ": () => play(!timer),
};
document.addEventListener("keydown", (event) => {
  const pressed = event.key === " " && event.target.tagName === "BUTTON";
  if (pressed || event.altKey || event.ctrlKey || event.metaKey || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});
find("back").addEventListener("click", keys.ArrowLeft);
find("step").addEventListener("click", keys.ArrowRight);
find("play").addEventListener("click", keys[" "]);
slider.addEventListener("input", () => move(Number(slider.value)));
addEventListener("hashchange", linked);
linked();
