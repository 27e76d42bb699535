// Light, dark, or what the system says; kept for as long as the page is open.
{
  const themes = ["auto", "light", "dark"];
  let at = 0;
  const theme = button("theme", "Theme: auto");
  on(theme, "click", () => {
    at = (at + 1) % 3;
    if (at) root.dataset.theme = themes[at];
    else delete root.dataset.theme;
    theme.textContent = `Theme: ${themes[at]}`;
  });
  $("contents").append(theme);
}
