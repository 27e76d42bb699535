// Some cases side by side: their figures, how they relate to the first, what they said and where they were.
{
  const ticked = [];
  const boxes = (anchor) => all(`input.pick[data-of="${anchor}"]`);
  const open = make("button", { id: "compare-open", type: "button" });
  const clear = make("button", { id: "compare-clear", type: "button", textContent: "Untick all" });
  const bar = make("div", { id: "compare-bar", role: "region", "aria-label": "Compare cases", hidden: true }, open, clear);
  const content = make("div");
  const close = make("button", { id: "compare-close", type: "button", textContent: "Close" });
  const panel = make("dialog", { id: "compare", "aria-labelledby": "h-compare" }, make("header", {}, make("h2", { id: "h-compare", textContent: "Cases side by side" }), close), content);
  document.body.append(bar, panel);

  const update = () => {
    bar.hidden = !ticked.length;
    open.disabled = ticked.length < 2;
    open.textContent = ticked.length < 2 ? "Tick another case to compare" : `Compare ${ticked.length} cases`;
  };
  const tick = (anchor, on) => {
    const at = ticked.indexOf(anchor);
    if (on && at < 0) ticked.push(anchor);
    if (!on && at >= 0) ticked.splice(at, 1);
    for (const box of boxes(anchor)) box.checked = on;
    update();
  };
  for (const cell of all(".matrix td[data-case],.rows tr[data-case] th,#cases tbody th")) {
    const anchor = cell.closest("[data-case]").dataset.case;
    const box = make("input", { type: "checkbox", className: "pick", "data-of": anchor, title: "Compare", "aria-label": `Compare ${byAnchor.get(anchor)?.case}` });
    box.addEventListener("change", () => tick(anchor, box.checked));
    cell.prepend(box);
  }
  clear.addEventListener("click", () => [...ticked].forEach((anchor) => tick(anchor, false)));

  const heads = all("#cases thead th").map((head) => head.textContent);
  const rowOf = (anchor) => $("cases").querySelector(`tr[data-case="${anchor}"]`);
  const figure = (cell, base) => {
    const node = make("td", { className: cell.className }, ...[...cell.childNodes].map((child) => child.cloneNode(true)));
    const [value, first] = [Number(cell.dataset.v), Number(base.dataset.v)];
    if (cell !== base && value > 0 && first > 0) node.append(make("span", { className: "sub", textContent: `× ${(value / first).toPrecision(3)}` }));
    return node;
  };
  const copy = (node) => {
    const made = node.cloneNode(true);
    for (const one of [made, ...all("[id]", made)]) one.removeAttribute("id");
    return made;
  };
  const fill = () => {
    const rows = ticked.map(rowOf);
    const names = ticked.map((anchor) => make("th", { scope: "col" }, make("a", { href: `#${anchor}`, textContent: byAnchor.get(anchor).case })));
    const body = make("tbody");
    for (let column = 2; column < heads.length; column += 1) {
      body.append(make("tr", {}, make("th", { scope: "row", textContent: heads[column] }), ...rows.map((row) => figure(row.cells[column], rows[0].cells[column]))));
    }
    const output = (anchor) => $(anchor)?.querySelector("pre.output");
    if (ticked.some(output)) {
      const texts = ticked.map((anchor) => make("td", {}, output(anchor) ? copy(output(anchor)) : "–"));
      body.append(make("tr", {}, make("th", { scope: "row", textContent: "Output" }), ...texts));
    }
    const caption = make("caption", { textContent: "× is the ratio to the first case." });
    const table = make("table", {}, caption, make("thead", {}, make("tr", {}, make("td"), ...names)), body);
    content.replaceChildren(make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-labelledby": "h-compare" }, table));
    const prompts = new Set(ticked.map((anchor) => $(anchor)?.closest(".prompt-fold")));
    for (const prompt of prompts) {
      const picture = prompt?.querySelector('[data-chart="placement"]');
      if (picture) content.append(make("h3", { textContent: `${byAnchor.get(ticked.find((anchor) => prompt.contains($(anchor)))).scenario}: where everything is` }), copy(picture));
    }
  };
  open.addEventListener("click", () => {
    fill();
    panel.showModal();
  });
  close.addEventListener("click", () => panel.close());
  panel.addEventListener("click", (event) => {
    if (event.target === panel || event.target.closest("a")) panel.close();
  });
}
