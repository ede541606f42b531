// What a page's Python needs of the tests: its job, and a way out for what it has to say.
// Requests are synchronous: what was said has arrived, whatever becomes of the page afterwards.
function request(method, path, body) {
  const xhr = new XMLHttpRequest();
  xhr.open(method, path, false);
  xhr.send(body);
  return xhr.responseText;
}

// An exception must not reach MicroPython, which cannot catch it.
function say(kind, text) {
  try {
    request("POST", kind + location.search, text);
  } catch (error) {
    console.error(error);
  }
}

// Is never answered: the server sees by its end that the page has crashed.
fetch(`alive${location.search}`).catch(() => {});

const job = JSON.parse(request("GET", "job"));

globalThis.harness = {
  source: job.source,
  arguments: job.arguments,
  wheel: new URL(job.wheel, location.href).href,
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
