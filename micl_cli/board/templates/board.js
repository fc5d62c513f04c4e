"use strict";
// Updates the tables from the state of the board, and sorts them. Without it, the page is complete when it is loaded.
(() => {
  const PAUSE = 2000;
  const LONGEST_PAUSE = 30000;
  const byId = (id) => document.getElementById(id);
  const runs = byId("run-table");
  const status = new Map();
  let order = null; // the column and direction that the reader chose
  let failures = 0;
  let timer;

  const address = (ids) => `/report?${new URLSearchParams(ids.map((id) => ["run", id]))}`;
  const cellOf = (row, name) => row.querySelector(`[data-cell="${name}"]`);

  function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function setLink(link, ids) {
    if (ids.length) link.setAttribute("href", address(ids));
    else link.removeAttribute("href");
  }

  function fill(row, id, cells) {
    row.dataset.id = id;
    row.dataset.status = cells.state.text;
    for (const [name, shown] of Object.entries(cells)) {
      const cell = cellOf(row, name);
      const text = cell.querySelector(".text");
      setText(text, shown.text);
      text.title = shown.title;
      const note = cell.querySelector(".note");
      if (note) setText(note, shown.note);
      cell.dataset.sort = shown.sort ?? "";
      const bar = cell.querySelector("progress");
      if (bar) bar.value = shown.sort ?? 0;
    }
  }

  function fillRun(row, run) {
    fill(row, run.id, run.cells);
    const link = cellOf(row, "run").firstElementChild;
    setText(link, run.title);
    setLink(link, run.report ? [run.id] : []);
    const box = row.querySelector("input");
    box.value = run.id;
    box.disabled = !run.report;
    box.setAttribute("aria-label", `Compare ${run.title}`);
  }

  function fillCell(row, cell) {
    fill(row, cell.run, cell.cells);
    const link = cellOf(row, "run").firstElementChild;
    setText(link, cell.run);
    setLink(link, cell.report ? [cell.run] : []);
  }

  function fillSweep(part, sweep) {
    part.dataset.id = sweep.id;
    setText(part.querySelector(".title"), sweep.title);
    setText(part.querySelector(".summary"), sweep.summary);
    const link = part.querySelector(".compare");
    link.hidden = sweep.finished.length === 0;
    setLink(link, sweep.finished);
    part.querySelector(".scroll").setAttribute("aria-label", `Cells of the sweep ${sweep.title}`);
    setText(part.querySelector("caption"), `Cells of the sweep ${sweep.title}`);
    update(part.querySelector("tbody"), "cell-row", sweep.cells.map((cell) => [cell.run, cell]), fillCell);
  }

  // Give a parent one child for each item, in their order; children that stay are kept, with what the reader did to them.
  function update(parent, template, items, fillChild, inOrder = (children) => children) {
    const known = new Map(Array.from(parent.children, (child) => [child.dataset.id, child]));
    const wanted = items.map(([id, item]) => {
      const child = known.get(id) ?? byId(template).content.firstElementChild.cloneNode(true);
      fillChild(child, item);
      known.delete(id);
      return child;
    });
    for (const child of known.values()) child.remove();
    arrange(parent, inOrder(wanted));
  }

  // Moving an element takes the focus from it, so that elements which are in their place stay there.
  function arrange(parent, wanted) {
    const focused = document.activeElement;
    wanted.forEach((child, index) => {
      if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
    });
    if (focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true });
  }

  // The value by which a cell is sorted: a number, a text, or null if it is missing.
  function valueOf(cell) {
    const text = (cell.dataset.sort || cell.textContent).trim();
    if (text === "") return null;
    return Number.isNaN(Number(text)) ? text : Number(text);
  }

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  }

  // Return rows in the order that the reader chose, those without a value last.
  function sorted(rows) {
    if (order === null) return rows;
    const valued = rows.map((row) => [valueOf(cellOf(row, order.column)), row]);
    const missing = valued.filter(([value]) => value === null);
    const present = valued.filter(([value]) => value !== null);
    present.sort(([a], [b]) => order.direction * compare(a, b));
    return [...present, ...missing].map(([, row]) => row);
  }

  function sortBy(header) {
    const direction = header.ariaSort === "ascending" ? -1 : 1;
    for (const each of header.parentElement.cells) each.removeAttribute("aria-sort");
    header.ariaSort = direction > 0 ? "ascending" : "descending";
    order = { column: header.dataset.column, direction };
    arrange(runs.tBodies[0], sorted(Array.from(runs.tBodies[0].rows)));
  }

  // Tell users of screen readers what has ended or begun, and not every step.
  function tell(rows) {
    const news = [];
    for (const run of rows) {
      const former = status.get(run.id);
      if (status.size && former !== run.status) news.push(`${run.title} is ${run.status}`);
    }
    status.clear();
    for (const run of rows) status.set(run.id, run.status);
    if (news.length) byId("news").textContent = news.join(". ");
  }

  function countChosen() {
    const count = runs.querySelectorAll("input:checked").length;
    byId("chosen").textContent = count ? `${count} chosen` : "";
  }

  function show(board) {
    byId("sweeps").hidden = board.sweeps.length === 0;
    update(byId("sweep-list"), "sweep-part", board.sweeps.map((sweep) => [sweep.id, sweep]), fillSweep);
    byId("empty").hidden = board.runs.length > 0;
    byId("listed").hidden = board.runs.length === 0;
    update(runs.tBodies[0], "run-row", board.runs.map((run) => [run.id, run]), fillRun, sorted);
    byId("older").hidden = board.older === 0;
    byId("older").querySelector(".count").textContent = board.older;
    countChosen();
    tell(board.runs);
  }

  async function poll() {
    clearTimeout(timer);
    if (document.hidden) return; // goes on when the page is shown again
    const connection = byId("connection");
    try {
      const response = await fetch("/board.json", { cache: "no-store" });
      const document_ = await response.json();
      if (!response.ok) throw new Error(document_.error.message);
      show(document_);
      failures = 0;
      connection.hidden = true;
    } catch (error) {
      failures += 1;
      connection.textContent = error instanceof TypeError ? "The board does not answer: is it still running?" : error.message;
      connection.hidden = false;
    }
    timer = setTimeout(poll, Math.min(PAUSE * 2 ** failures, LONGEST_PAUSE));
  }

  for (const header of runs.tHead.rows[0].querySelectorAll("th")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sortBy(header));
    header.append(button);
  }
  runs.addEventListener("change", countChosen);
  document.addEventListener("visibilitychange", poll);
  poll();
})();
