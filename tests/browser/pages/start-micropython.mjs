// In a page or in a worker.
import "./harness.js";
import { loadMicroPython } from "./micropython/micropython.mjs";

const micropython = await loadMicroPython({ url: new URL("micropython/micropython.wasm", import.meta.url).href });
const files = await (await fetch("lib.json")).json();
for (const [name, source] of Object.entries(files)) {
  const path = `/lib/${name}`;
  micropython.FS.mkdirTree(path.slice(0, path.lastIndexOf("/")));
  micropython.FS.writeFile(path, source);
}
micropython.runPython(await (await fetch("boot.py")).text());
