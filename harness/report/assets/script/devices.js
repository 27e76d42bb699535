// Pointing at a device's colour lets everything of the others fade.
{
  on(document, "pointerover", (event) => {
    const place = event.target.closest?.("th,td,li,dt");
    const chip = event.target.closest?.(".chip") ?? place?.querySelector(":scope > .chip");
    const device = chip && /\bf-d(\d+)/.exec(chip.className)?.[1];
    if (device) root.dataset.device = device;
    else delete root.dataset.device;
  });
}
