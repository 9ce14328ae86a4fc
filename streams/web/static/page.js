// What people do outside of charts: theme, copying a command, dialogs, sending forms without a jump.

const root = document.documentElement;

document.addEventListener("click", async (event) => {
  const target = event.target.closest("[data-copy], [data-opens], [data-theme-switch], [data-closes]");
  if (!target) return;
  if (target.dataset.copy !== undefined) {
    await navigator.clipboard?.writeText(target.dataset.copy);
    target.classList.add("copied");
    setTimeout(() => target.classList.remove("copied"), 1200);
  } else if (target.dataset.opens) open(target);
  else if (target.dataset.closes !== undefined) target.closest("dialog").close();
  else turn();
});

// A dialog takes what it is about from the button that opens it: data-set-NAME → field NAME.
function open(button) {
  const dialog = document.getElementById(button.dataset.opens);
  for (const [name, value] of Object.entries(button.dataset)) {
    if (!name.startsWith("set")) continue;
    const key = name.slice(3).toLowerCase();
    for (const field of dialog.querySelectorAll(`[name="${key}"]`)) field.value = value;
    for (const text of dialog.querySelectorAll(`[data-shows="${key}"]`)) text.textContent = value;
  }
  const who = dialog.querySelector('[name="who"]');
  if (who && !who.value) who.value = localStorage.getItem("who") ?? "";
  dialog.showModal();
  (who?.value ? dialog.querySelector('[name="why"]') : who)?.focus();
}

document.addEventListener("submit", (event) => {
  const who = event.target.querySelector('[name="who"]');
  if (who) localStorage.setItem("who", who.value);
  const sent = event.target.querySelector("button[type=submit]");
  if (event.target.method === "post" && sent) setTimeout(() => (sent.disabled = true));
});

// A choice in a filter takes effect at once.
document.addEventListener("change", (event) => {
  if (event.target.closest("form[data-at-once]")) event.target.form.requestSubmit();
});

function turn() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const next = { "": dark ? "light" : "dark", light: dark ? "" : "dark", dark: dark ? "light" : "" }[root.dataset.theme ?? ""];
  set(next);
  if (next) localStorage.setItem("theme", next);
  else localStorage.removeItem("theme");
}

function set(theme) {
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
}

addEventListener("storage", (event) => event.key === "theme" && set(event.newValue ?? ""));
