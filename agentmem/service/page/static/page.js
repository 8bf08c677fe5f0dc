"use strict";

// The page works without this: it only adds keys, and one box that ticks all others.

function typing(target) {
  return target.closest("input:not([type=checkbox]), textarea, select") !== null;
}

function move(step) {
  const links = [...document.querySelectorAll("a.words")];
  const here = links.indexOf(document.activeElement);
  const next = here < 0 ? (step > 0 ? 0 : links.length - 1) : here + step;
  links[next]?.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (event.key === "/") {
    const box = document.getElementById("q");
    if (box === null) return;
    event.preventDefault();
    box.focus();
    box.select();
  } else if (event.key === "j") {
    move(1);
  } else if (event.key === "k") {
    move(-1);
  }
});

document.addEventListener("change", (event) => {
  if (!event.target.matches(".all")) return;
  for (const box of event.target.form.querySelectorAll("input[name=ids]")) {
    box.checked = event.target.checked;
  }
});
