// In a page or in a worker.
import "./harness.js";
import { loadPyodide } from "./pyodide/pyodide.mjs";

const pyodide = await loadPyodide();
await pyodide.loadPackage("micropip");
await pyodide.pyimport("micropip").install(harness.wheel);
await pyodide.runPythonAsync(await (await fetch("boot.py")).text());
