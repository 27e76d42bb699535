// Some cases side by side: their figures, how they relate to the first, what they said and where they were.
if (cases.length) {
  const ticked = [];
  const open = button("compare-open");
  const clear = button("compare-clear", "Untick all");
  const bar = make("div", { id: "compare-bar", hidden: true }, open, clear);
  const content = make("div");
  const close = button("compare-close", "Close");
  const panel = make("dialog", { id: "compare", "aria-labelledby": "h-compare" }, make("header", {}, make("h2", { id: "h-compare" }, "Cases side by side"), close), content);
  document.body.append(bar, panel);

  const update = () => {
    bar.hidden = !ticked.length;
    open.disabled = ticked.length < 2;
    open.textContent = ticked.length < 2 ? "Tick one more to compare" : `Compare ${ticked.length} cases`;
  };
  const tick = (anchor, is) => {
    const at = ticked.indexOf(anchor);
    if (is && at < 0) ticked.push(anchor);
    if (!is && at >= 0) ticked.splice(at, 1);
    for (const box of all(`.pick[data-of="${anchor}"]`)) box.checked = is;
    update();
  };
  for (const cell of all(".matrix td[data-case],.rows tr[data-case] th,#cases tbody th")) {
    const anchor = cell.closest("[data-case]").dataset.case;
    const box = make("input", { type: "checkbox", className: "pick", "data-of": anchor, "aria-label": `Compare ${byAnchor.get(anchor)?.case}` });
    on(box, "change", () => tick(anchor, box.checked));
    cell.prepend(box);
  }
  on(clear, "click", () => [...ticked].forEach((anchor) => tick(anchor, false)));

  const heads = all("#cases thead th").map((head) => head.textContent);
  const figure = (cell, base) => {
    const made = cell.cloneNode(true);
    const ratio = cell.dataset.v / base.dataset.v;
    if (cell !== base && ratio > 0 && ratio < Infinity) made.append(make("span", { className: "sub" }, `× ${ratio.toPrecision(3)}`));
    return made;
  };
  const rowHead = (words) => make("th", { scope: "row" }, words);
  const copy = (node) => {
    const made = node.cloneNode(true);
    for (const one of [made, ...all("[id]", made)]) one.removeAttribute("id");
    return made;
  };
  const fill = () => {
    const rows = ticked.map((anchor) => $("cases").querySelector(`[data-case="${anchor}"]`));
    const names = ticked.map((anchor) => make("th", { scope: "col" }, make("a", { href: `#${anchor}` }, byAnchor.get(anchor).case)));
    const body = make("tbody");
    for (let column = 2; column < heads.length; column += 1) {
      body.append(make("tr", {}, rowHead(heads[column]), ...rows.map((row) => figure(row.cells[column], rows[0].cells[column]))));
    }
    const output = (anchor) => $(anchor)?.querySelector("pre.output");
    if (ticked.some(output)) {
      const texts = ticked.map((anchor) => make("td", {}, output(anchor) ? copy(output(anchor)) : "–"));
      body.append(make("tr", {}, rowHead("Output"), ...texts));
    }
    const table = make("table", {}, make("caption", {}, "× is the ratio to the first case."), make("thead", {}, make("tr", {}, make("td"), ...names)), body);
    content.replaceChildren(make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-labelledby": "h-compare" }, table));
    const prompts = new Map(ticked.map((anchor) => [$(anchor)?.closest(".prompt-fold"), byAnchor.get(anchor).scenario]));
    for (const [prompt, scenario] of prompts) {
      const picture = prompt?.querySelector('[data-chart="placement"]');
      if (picture) content.append(make("h3", {}, `${scenario}: where everything is`), copy(picture));
    }
  };
  on(open, "click", () => {
    fill();
    panel.showModal();
  });
  on(close, "click", () => panel.close());
  on(panel, "click", (event) => {
    if (event.target === panel || event.target.closest("a")) panel.close();
  });
}
