// What Python needs of the tests, in a page or in a worker: its job, and a way out for what it has to say.
// The server puts `const job = {...}` before this. The address of a worker may be a blob's: all URLs are whole.
// Requests are synchronous: what was said has arrived, whatever becomes of the page afterwards.
function urlFor(kind) {
  return `${job.url}${kind}?run=${job.run}`;
}

// An exception must not reach MicroPython, which cannot catch it.
function say(kind, text) {
  try {
    const xhr = new XMLHttpRequest();
    xhr.open("POST", urlFor(kind), false);
    xhr.send(text);
  } catch (error) {
    console.error(error);
  }
}

// Is never answered: the server sees by its end that the page has crashed.
fetch(urlFor("alive")).catch(() => {});

globalThis.harness = {
  source: job.source,
  arguments: job.arguments,
  url: job.url,
  wheel: job.wheel,
  begun: false,
  begin() {
    this.begun = true;
    say("begin", "");
  },
  report(text) {
    say("report", text);
  },
  end(failure) {
    say("end", failure);
  },
};

// Until the job begins, an error is the page's; afterwards it may be what the job is about.
for (const kind of ["error", "unhandledrejection"]) {
  addEventListener(kind, (event) => {
    const error = event.reason ?? event.error ?? event.message;
    if (!harness.begun) harness.end(`the page did not come up: ${error?.stack ?? error}`);
  });
}
