// What the contest needs of JavaScript, and the contestant that is JavaScript.
// Everything returns milliseconds, or a promise of them.
globalThis.contest = {
  promise() {
    return Promise.withResolvers();
  },

  // Let a socket have one message again and again, without network; each call of its handlers ends in here.
  dispatch(socket, kind, size, count) {
    const data = kind === "text" ? "x".repeat(size) : new ArrayBuffer(size);
    const begin = performance.now();
    for (let left = count; left; left--) socket.dispatchEvent(new MessageEvent("message", { data }));
    return performance.now() - begin;
  },

  // Say what comes: all 256 bytes in a row are to come.
  describe(socket, came) {
    socket.addEventListener("message", ({ data }) => {
      if (typeof data === "string") came.resolve(`the text \`${data.length > 24 ? `${data.slice(0, 24)}...` : data}\``);
      else if (new Uint8Array(data).every((byte, index) => byte === index) && data.byteLength === 256) came.resolve("the bytes");
      else came.resolve(`${data.byteLength} other bytes`);
    });
  },

  async open(url) {
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    await new Promise((resolve) => socket.addEventListener("open", resolve));
    return socket;
  },

  async close(socket) {
    const closed = new Promise((resolve) => socket.addEventListener("close", resolve));
    socket.close();
    await closed;
  },

  async ping(url, count, kind, size) {
    const socket = await this.open(url);
    const { promise, resolve } = Promise.withResolvers();
    let left = count;
    socket.onmessage = (event) => {
      const { data } = event;
      left -= 1;
      if (left) socket.send(data);
      else resolve(performance.now());
    };
    harness.report("null");
    const begin = performance.now();
    socket.send("x".repeat(size));
    const end = await promise;
    harness.report("null");
    await this.close(socket);
    return end - begin;
  },

  async push(url, count) {
    const socket = await this.open(url);
    const { promise, resolve } = Promise.withResolvers();
    let left = count;
    let size = 0;
    socket.onmessage = (event) => {
      const { data } = event;
      size += data.length ?? data.byteLength;
      left -= 1;
      if (!left) resolve(performance.now());
    };
    harness.report("null");
    const begin = performance.now();
    socket.send("go");
    const end = await promise;
    harness.report("null");
    await this.close(socket);
    return end - begin;
  },

  async take(url, count, kind, size) {
    const socket = await this.open(url);
    let taken = 0;
    socket.onmessage = (event) => {
      const { data } = event;
      taken += data.length ?? data.byteLength;
    };
    harness.report("null");
    const time = this.dispatch(socket, kind, size, count);
    harness.report("null");
    await this.close(socket);
    return time;
  },

  async give(url, count, kind, size) {
    const socket = await this.open(url);
    const data = kind === "text" ? "x".repeat(size) : new Uint8Array(size);
    const { promise, resolve } = Promise.withResolvers();
    socket.onmessage = resolve;
    harness.report("null");
    const begin = performance.now();
    for (let left = count; left; left--) socket.send(data);
    const end = performance.now();
    harness.report("null");
    await promise;
    await this.close(socket);
    return end - begin;
  },
};
