// The terminal has the keys as soon as something stands in it, and whenever the page is come back to: nobody has to click first.
"use strict";
function giveKeys() {
  const field = document.querySelector(".xterm-helper-textarea");
  if (field) field.focus();
}
window.addEventListener("focus", giveKeys);
document.addEventListener("DOMContentLoaded", () => {
  const watched = new MutationObserver(() => {
    if (document.body.classList.contains("-first-byte")) {
      watched.disconnect();
      giveKeys();
    }
  });
  watched.observe(document.body, { attributes: true, attributeFilter: ["class"] });
});
