"use strict";
(() => {
  const live = document.getElementById("live");
  const note = document.getElementById("note");
  const calm = note.innerHTML;
  let since = 0;
  let timer = 0;

  async function update() {
    clearTimeout(timer);
    timer = setTimeout(update, 2000);
    // Not under the eyes of someone who is selecting text, and not for nobody.
    if (document.hidden || String(getSelection()) !== "") return;
    try {
      const answer = await fetch("status?fragment", { cache: "no-store", signal: AbortSignal.timeout(5000) });
      if (!answer.ok) throw new Error(answer.status);
      live.innerHTML = await answer.text();
      live.dataset.updates = Number(live.dataset.updates || 0) + 1;
      if (since) note.innerHTML = calm;
      since = 0;
      document.body.classList.remove("old");
    } catch {
      since = since || Date.now();
      note.textContent = `No answer for ${Math.round((Date.now() - since) / 1000)} s; trying again. What is above is old.`;
      document.body.classList.add("old");
    }
  }

  document.addEventListener("visibilitychange", update);
  timer = setTimeout(update, 2000);
})();
