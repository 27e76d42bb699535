// Links into what is folded unfold it, and paper has everything.
{
  const reveal = (hash) => {
    // Our anchors are plain ASCII.
    const target = $(hash.slice(1));
    for (let node = target; node; node = node.parentElement) {
      if (node.localName === "details" && node.id !== "prompts") node.open = true;
    }
    return target;
  };
  on(document, "click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link) reveal(link.hash);
    const menu = $("prompts");
    if (menu?.open && (link || !menu.contains(event.target))) menu.open = false;
  });
  on(document, "keydown", (event) => {
    const menu = $("prompts");
    if (event.key === "Escape" && menu?.open) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  on(window, "hashchange", () => reveal(location.hash));
  if (location.hash) reveal(location.hash)?.scrollIntoView();
  let folded = [];
  on(window, "beforeprint", () => {
    for (const node of (folded = all("details:not([open],#prompts)"))) node.open = true;
  });
  on(window, "afterprint", () => {
    for (const node of folded) node.open = false;
  });
}
