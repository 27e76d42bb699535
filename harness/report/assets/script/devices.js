// Pointing at a device's colour lets everything of the others fade.
{
  const root = document.documentElement;
  document.addEventListener("pointerover", (event) => {
    const place = event.target.closest?.("th,td,li,dt");
    const chip = event.target.closest?.(".chip") ?? place?.querySelector(":scope > .chip");
    const device = chip && /\bf-d(\d+)/.exec(chip.getAttribute("class"))?.[1];
    if (device) root.dataset.device = device;
    else delete root.dataset.device;
  });
}
