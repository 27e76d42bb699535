// Light, dark, or what the system says; kept for as long as the page is open.
{
  const themes = ["auto", "light", "dark"];
  let at = 0;
  const button = make("button", { id: "theme", type: "button", textContent: "Theme: auto" });
  button.addEventListener("click", () => {
    at = (at + 1) % themes.length;
    if (at) document.documentElement.dataset.theme = themes[at];
    else delete document.documentElement.dataset.theme;
    button.textContent = `Theme: ${themes[at]}`;
  });
  $("contents").append(button);
}
