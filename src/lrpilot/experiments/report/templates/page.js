"use strict";

// Contents: folded on a phone, out of the way once something is chosen.
const contents = document.querySelector("nav details"), phone = matchMedia("(max-width: 60rem)");
contents.open = !phone.matches;
contents.addEventListener("click", event => { if (phone.matches && event.target.matches("a")) contents.open = false; });

// Tables: a click on a heading sorts, by the number that a cell begins with or by its text.
const number = text => parseFloat(text.replace(/[,[+]/g, ""));
const order = (a, b) => isNaN(number(a)) || isNaN(number(b))
  ? isNaN(number(a)) - isNaN(number(b)) || a.localeCompare(b)
  : number(a) - number(b);
for (const heading of document.querySelectorAll("th"))
  heading.addEventListener("click", () => {
    const body = heading.closest("table").tBodies[0], up = heading.ariaSort !== "ascending";
    const text = row => row.cells[heading.cellIndex].textContent;
    for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    body.append(...[...body.rows].sort((a, b) => order(text(a), text(b)) * (up ? 1 : -1)));
  });

// The filter: rows of other methods are hidden in every table that has a row for each method.
document.querySelector("#filter")?.addEventListener("input", event => {
  const wanted = event.target.value.trim().toLowerCase();
  for (const table of document.querySelectorAll("table"))
    if (table.tHead.rows[0].cells[0].textContent === "method")
      for (const row of table.tBodies[0].rows)
        row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
});

// Pictures: a button for each curve hides and shows it; where the pointer is on one, its name and the values there.
const tip = document.querySelector("#tip");
const within = (share, [low, high, scale]) =>
  scale === "log" ? low * (high / low) ** share : low + share * (high - low);
const values = (svg, event) => {
  const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const panel = JSON.parse(svg.dataset.panels)
    .find(({ box: [left, top, right, bottom] }) => left <= x && x <= right && top <= y && y <= bottom);
  if (!panel) return "";
  const [left, top, right, bottom] = panel.box;
  const found = [within((x - left) / (right - left), panel.x), within((bottom - y) / (bottom - top), panel.y)];
  return ": " + found.map(value => Number(value.toPrecision(3)).toLocaleString("en", { maximumSignificantDigits: 3 })).join(", ");
};
for (const figure of document.querySelectorAll("figure")) {
  const svg = figure.querySelector("svg"), curves = [...svg.querySelectorAll(".curve")];
  for (const path of svg.querySelectorAll(".curve > path")) { // a wider one that nobody sees, to be hit more easily
    const wide = path.cloneNode();
    wide.setAttribute("style", "fill: none; stroke: #000; stroke-width: 9; stroke-opacity: 0");
    path.after(wide);
  }
  for (const name of new Set(curves.map(curve => curve.dataset.of))) {
    const button = document.createElement("button"), own = curves.filter(curve => curve.dataset.of === name);
    button.textContent = name;
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") === "false";
      button.setAttribute("aria-pressed", shown);
      for (const curve of own) curve.style.display = shown ? "" : "none";
    });
    figure.querySelector(".curves").append(button);
  }
  svg.addEventListener("pointermove", event => {
    const name = event.target.closest(".curve")?.dataset.of;
    for (const curve of curves) curve.classList.toggle("near", curve.dataset.of === name);
    svg.classList.toggle("dim", name !== undefined);
    tip.hidden = name === undefined;
    if (name === undefined) return;
    tip.textContent = name + values(svg, event);
    tip.style.left = Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 4) + "px";
    tip.style.top = event.clientY + 14 + "px";
  });
  svg.addEventListener("pointerleave", () => { tip.hidden = true; svg.classList.remove("dim"); });
}
