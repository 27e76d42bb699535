// Which cases are shown: everywhere at once.
{
  const problem = new Set(["failed", "setup", "flaky", "pending"]);
  const names = { setup: "set-up error", pending: "waits for review", unjudged: "not judged" };
  const toggle = (words, properties) => {
    const button = make("button", { type: "button", className: "toggle", textContent: words, "aria-pressed": "false", ...properties });
    button.addEventListener("click", () => {
      press(button, !pressed(button));
      apply();
    });
    return button;
  };
  const counted = new Map();
  for (const { status } of cases) counted.set(status, (counted.get(status) ?? 0) + 1);
  const statuses = [...counted].map(([status, count]) => toggle(`${names[status] ?? status} ${count}`, { "data-status": status }));
  const only = {
    problems: toggle("only problems", { id: "filter-problems" }),
    differing: toggle("only what differs", { id: "filter-differing" }),
  };
  const text = make("input", { id: "filter-text", type: "search", placeholder: "Find a case", "aria-label": "Find a case: words of its name, outcome or finding", autocomplete: "off" });
  const clear = make("button", { id: "filter-clear", type: "button", textContent: "Show all", hidden: true });
  const count = make("output", { id: "filter-count", "aria-live": "polite" });
  const searched = new Map(cases.map((one) => [one.anchor, [one.case, one.status, one.outcome, one.text, one.sentence, one.peak_device].join(" ").toLowerCase()]));

  const chosen = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(statuses.filter(pressed).map((button) => button.dataset.status));
    const fits = (one) =>
      (!wanted.size || wanted.has(one.status)) &&
      (!pressed(only.problems) || problem.has(one.status)) &&
      (!pressed(only.differing) || one.differs) &&
      words.every((word) => searched.get(one.anchor).includes(word));
    const active = words.length || wanted.size || pressed(only.problems) || pressed(only.differing);
    return active ? new Set(cases.filter(fits).map((one) => one.anchor)) : null;
  };
  const anchorsOf = (node) => (node.dataset.cases ?? node.dataset.case ?? node.id).split(" ");
  const items = "[data-case],[data-cases],article.case";
  const apply = () => {
    const shown = chosen();
    const left = (node) => !shown || anchorsOf(node).some((anchor) => shown.has(anchor));
    for (const node of all(items)) {
      if (node.closest("dialog")) continue;
      if (node.matches(".matrix td")) node.classList.toggle("dim", !left(node));
      else node.hidden = !left(node);
    }
    for (const group of all(".matrix tbody tr,.rows tbody,.prompt-fold,section.list,section.scenario")) {
      const within = all(items, group);
      group.hidden = within.length > 0 && !within.some(left);
    }
    clear.hidden = !shown;
    count.textContent = shown ? `${shown.size} of ${cases.length} cases` : "";
  };
  text.addEventListener("input", apply);
  clear.addEventListener("click", () => {
    text.value = "";
    for (const button of [...statuses, ...Object.values(only)]) press(button, false);
    apply();
    text.focus();
  });
  const form = make("form", { id: "filter", role: "search", "aria-label": "Cases" }, text);
  if (statuses.length > 1) form.append(...statuses);
  if (cases.some((one) => problem.has(one.status))) form.append(only.problems);
  if (cases.some((one) => one.differs)) form.append(only.differing);
  form.append(clear, count);
  form.addEventListener("submit", (event) => event.preventDefault());
  if (cases.length > 1) $("content").prepend(form);
}
