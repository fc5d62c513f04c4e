"use strict";
// Sorting of tables and filters of answers. Without it, the page is complete.
(() => {
  const UNITS = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9 };
  const NUMBER = /^[±<]?(-?[\d,]*\.?\d+)(?: (B|kB|MB|GB)\b)?(?=$|[\s%[])/;

  // The value by which a cell is sorted: a number, a text, or null if it is missing.
  function valueOf(cell) {
    const text = (cell.dataset.sort ?? cell.textContent).trim();
    if (text === "" || text === "-") return null;
    const match = NUMBER.exec(text);
    return match ? Number(match[1].replaceAll(",", "")) * (UNITS[match[2]] ?? 1) : text;
  }

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return a.localeCompare(b, "en", { numeric: true });
  }

  function sort(table, header) {
    const body = table.tBodies[0];
    if (header.ariaSort === "descending") {
      header.removeAttribute("aria-sort");
      body.append(...unsorted.get(table));
      return;
    }
    const direction = header.ariaSort === "ascending" ? -1 : 1;
    const rows = Array.from(body.rows, (row) => [valueOf(row.cells[header.cellIndex]), row]);
    const missing = rows.filter(([value]) => value === null);
    const present = rows.filter(([value]) => value !== null);
    present.sort(([a], [b]) => direction * compare(a, b));
    for (const each of header.parentElement.cells) each.removeAttribute("aria-sort");
    header.ariaSort = direction > 0 ? "ascending" : "descending";
    body.append(...[...present, ...missing].map(([, row]) => row));
  }

  const unsorted = new Map();
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    document.getElementById("sorting").hidden = false;
    unsorted.set(table, Array.from(table.tBodies[0].rows));
    for (const header of table.tHead.rows[0].querySelectorAll("th:not([data-fixed])")) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      button.addEventListener("click", () => sort(table, header));
      header.append(button);
    }
  }

  function filter(answers, form) {
    const { task, stage, state, words } = Object.fromEntries(new FormData(form));
    const wanted = words.trim().toLowerCase();
    let count = 0;
    for (const section of answers.querySelectorAll(".task")) {
      const stages = Array.from(section.querySelectorAll("thead [data-stage]"), (each) => each.dataset.stage);
      section.hidden = (task !== "" && section.dataset.task !== task) || (stage !== "" && !stages.includes(stage));
      const judged = stage || stages.at(-1);
      for (const cell of section.querySelectorAll("[data-stage]")) cell.hidden = stage !== "" && cell.dataset.stage !== stage;
      for (const row of section.querySelector("tbody").rows) {
        const fits = state === "" || row.dataset[state].split(" ").includes(judged);
        row.hidden = !fits || !row.textContent.toLowerCase().includes(wanted);
        if (!row.hidden && !section.hidden) count += 1;
      }
    }
    const output = form.querySelector("output");
    const stored = Number(output.dataset.stored);
    output.textContent = `${count.toLocaleString("en")} of ${stored.toLocaleString("en")} example${stored === 1 ? "" : "s"} shown`;
  }

  for (const answers of document.querySelectorAll(".answers")) {
    const form = answers.querySelector("form");
    form.hidden = false;
    for (const event of ["input", "change"]) form.addEventListener(event, () => filter(answers, form));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.reset();
  }

  // A link to a folded section opens it.
  const open = () => document.getElementById(location.hash.slice(1))?.querySelector("details")?.setAttribute("open", "");
  addEventListener("hashchange", open);
  open();
})();
