// Links into what is folded unfold it, and paper has everything.
{
  const reveal = (hash) => {
    let target = null;
    try {
      target = $(decodeURIComponent(hash.slice(1)));
    } catch {
      return null;
    }
    for (let node = target; node; node = node.parentElement) {
      if (node.localName === "details" && node.id !== "prompts") node.open = true;
    }
    return target;
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link) reveal(link.hash);
    const menu = $("prompts");
    if (menu?.open && (link || !menu.contains(event.target))) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    const menu = $("prompts");
    if (event.key === "Escape" && menu?.open) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  addEventListener("hashchange", () => reveal(location.hash));
  if (location.hash) reveal(location.hash)?.scrollIntoView();
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open],#prompts)");
    for (const node of folded) node.open = true;
  });
  addEventListener("afterprint", () => {
    for (const node of folded) node.open = false;
  });
}
