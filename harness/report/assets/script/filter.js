// Which cases are shown: everywhere at once.
{
  const problem = new Set(["failed", "setup", "flaky", "pending"]);
  const names = { setup: "set-up error", pending: "waits for review", unjudged: "not judged" };
  const toggle = (id, words, more) => {
    const made = button(id, words, { className: "toggle", "aria-pressed": "false", ...more });
    on(made, "click", () => {
      press(made, !pressed(made));
      apply();
    });
    return made;
  };
  const counted = new Map();
  for (const { status } of cases) counted.set(status, (counted.get(status) ?? 0) + 1);
  const statuses = [...counted].map(([status, count]) => toggle(undefined, `${names[status] ?? status} ${count}`, { "data-status": status }));
  const problems = toggle("filter-problems", "only problems");
  const differing = toggle("filter-differing", "only what differs");
  const text = make("input", { id: "filter-text", type: "search", placeholder: "Find a case", "aria-label": "Find a case by name or finding", autocomplete: "off" });
  const clear = button("filter-clear", "Show all", { hidden: true });
  const count = make("output", { id: "filter-count", "aria-live": "polite" });
  const words = (one) => [one.case, one.status, one.outcome, one.text, one.sentence, one.peak_device].join(" ").toLowerCase();

  const chosen = () => {
    const sought = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(statuses.filter(pressed).map((one) => one.dataset.status));
    const fits = (one) =>
      (!wanted.size || wanted.has(one.status)) &&
      (!pressed(problems) || problem.has(one.status)) &&
      (!pressed(differing) || one.differs) &&
      sought.every((word) => words(one).includes(word));
    return sought.length || wanted.size || pressed(problems) || pressed(differing) ? new Set(cases.filter(fits).map((one) => one.anchor)) : null;
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
  on(text, "input", apply);
  on(clear, "click", () => {
    text.value = "";
    for (const one of [...statuses, problems, differing]) press(one, false);
    apply();
    text.focus();
  });
  const form = make("form", { id: "filter", role: "search", "aria-label": "Cases" }, text);
  if (statuses.length > 1) form.append(...statuses);
  if (cases.some((one) => problem.has(one.status))) form.append(problems);
  if (cases.some((one) => one.differs)) form.append(differing);
  form.append(clear, count);
  on(form, "submit", (event) => event.preventDefault());
  if (cases.length > 1) $("content").prepend(form);
}
