// Runs the job of a process, given as JSON on stdin: one line of JSON for each thing it has to say.
// node node.mjs pyodide|micropython, in the folder that is served to the pages.
import { Console } from "node:console";
import { readFileSync, readdirSync, writeSync } from "node:fs";

const job = JSON.parse(readFileSync(0, "utf8"));
// What the program prints belongs to the log.
globalThis.console = new Console(process.stderr);

function say(kind, text) {
  writeSync(1, `${JSON.stringify([kind, text])}\n`);
}

globalThis.harness = {
  source: job.source,
  arguments: job.arguments,
  begin: () => say("begin", ""),
  report: (text) => say("report", text),
  end: (failure) => say("end", failure),
};

const wheel = readdirSync(".").find((name) => name.endsWith(".whl"));
const boot = readFileSync("boot.py", "utf8");
if (process.argv[2] === "pyodide") {
  const { loadPyodide } = await import("./pyodide/pyodide.mjs");
  const pyodide = await loadPyodide();
  pyodide.unpackArchive(new Uint8Array(readFileSync(wheel)), "wheel");
  await pyodide.runPythonAsync(boot);
} else {
  const { loadMicroPython } = await import("./micropython/micropython.mjs");
  const micropython = await loadMicroPython();
  for (const [name, source] of Object.entries(JSON.parse(readFileSync("lib.json", "utf8")))) {
    const path = `/lib/${name}`;
    micropython.FS.mkdirTree(path.slice(0, path.lastIndexOf("/")));
    micropython.FS.writeFile(path, source);
  }
  micropython.runPython(boot);
}
