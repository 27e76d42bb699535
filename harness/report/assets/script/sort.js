// Tables that can be sorted: up, down, and as the run had it. What was not measured comes last either way.
{
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.v ?? cell.textContent.trim();
    return text === "–" ? "" : text;
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
    const keyed = rows.map((row) => [value(row, column), row]);
    keyed.sort(([a], [b]) => {
      if (!a || !b) return !a - !b;
      // Words are no numbers, and then their order counts.
      return sign * (a - b || a.localeCompare(b, "en", { numeric: true }));
    });
    body.append(...keyed.map(([, row]) => row));
  };
  for (const table of all("table.sortable")) {
    all("thead th", table).forEach((head, column) => {
      const by = make("button", { type: "button", className: "sort" }, ...head.childNodes);
      on(by, "click", () => sort(table, head, column));
      head.append(by);
    });
  }
}
