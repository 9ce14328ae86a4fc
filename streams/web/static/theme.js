// Runs before anything is painted: the theme that was chosen; without a choice the system's is taken.
const theme = localStorage.getItem("theme");
if (theme) document.documentElement.dataset.theme = theme;
