// What a chart says at a point: on pointing, and for the arrow keys once the chart has the focus.
{
  const tip = make("div", { id: "tip", role: "status", hidden: true });
  document.body.append(tip);
  const words = new WeakMap();
  let marked = null;
  const hide = () => {
    marked?.classList.remove("at");
    marked = null;
    tip.hidden = true;
    tip.textContent = "";
  };
  const show = (region) => {
    if (region === marked) return;
    hide();
    marked = region;
    region.classList.add("at");
    tip.textContent = words.get(region);
    tip.hidden = false;
    const box = region.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = tip;
    const left = Math.min(box.left + (box.width - width) / 2, root.clientWidth - width - 8);
    const above = box.top - height - 8;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${above > 48 ? above : Math.min(box.bottom + 8, innerHeight - height - 8)}px`;
  };
  for (const chart of all("svg.wide")) {
    const regions = all(".hover > *", chart);
    if (!regions.length) continue;
    for (const region of regions) {
      const title = region.querySelector("title");
      words.set(region, title?.textContent ?? "");
      title?.remove();
    }
    chart.setAttribute("tabindex", "0");
    on(chart, "keydown", (event) => {
      const at = regions.indexOf(marked);
      const last = regions.length - 1;
      const [next, previous] = [Math.min(at + 1, last), Math.max(at - 1, 0)];
      const to = { ArrowRight: next, ArrowDown: next, ArrowLeft: previous, ArrowUp: previous, Home: 0, End: last }[event.key];
      if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      show(regions[to]);
    });
    on(chart, "blur", hide);
  }
  on(document, "pointerover", (event) => {
    const region = event.target.closest?.(".hover > *");
    if (region && words.has(region)) show(region);
    else if (marked && document.activeElement !== marked.closest("svg")) hide();
  });
  on(document, "keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  addEventListener("scroll", hide, { passive: true, capture: true });
}
