// Tables that can be sorted: up, down, and as the run had it. What was not measured comes last either way.
{
  // A column that has values is sorted by them, any other by its words.
  const keys = (rows, column) => {
    const cells = rows.map((row) => row.cells[column]);
    const words = cells.map((cell) => cell.textContent.trim().replace(/^–$/, ""));
    return cells.some((cell) => cell.dataset.v) ? cells.map((cell) => cell.dataset.v ?? "") : words;
  };
  const sort = (table, head, column) => {
    const body = table.tBodies[0];
    const rows = (table.run ??= [...body.rows]);
    const was = head.getAttribute("aria-sort");
    for (const other of all("[aria-sort]", table)) other.removeAttribute("aria-sort");
    if (was === "descending") {
      body.append(...rows);
      return;
    }
    const sign = was ? -1 : 1;
    head.setAttribute("aria-sort", was ? "descending" : "ascending");
    const by = keys(rows, column);
    const keyed = rows.map((row, at) => [by[at], row]);
    keyed.sort(([a], [b]) => {
      if (!a || !b) return !a - !b;
      // Words are no numbers, and then their order counts.
      return sign * (a - b || a.localeCompare(b, "en", { numeric: true }));
    });
    body.append(...keyed.map(([, row]) => row));
  };
  for (const table of all("table.sortable")) {
    all("thead th", table).forEach((head, column) => {
      if (head.matches(".unsorted")) return;
      const by = make("button", { type: "button", className: "sort" }, ...head.childNodes);
      on(by, "click", () => sort(table, head, column));
      head.append(by);
    });
  }
}
