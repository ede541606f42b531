// ?pyodide or ?micropython, and &worker. No script of this page is inline: a Content-Security-Policy forbids it.
const query = new URLSearchParams(location.search);
const start = query.has("pyodide") ? "./start-pyodide.mjs" : "./start-micropython.mjs";
if (query.has("worker")) {
  new Worker(new URL(start, location.href), { type: "module" });
} else {
  await import("./harness.js"); // first: it tells of a script that cannot be loaded
  await import(start);
}
