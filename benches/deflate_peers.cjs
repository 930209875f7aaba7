// The permessage-deflate extension of `ws`, one message at a time. See deflate_peers.sh. It runs on threads of Node's
// pool. Their CPU time counts, as does that of the thread that waits for them.

const { readFileSync } = require("node:fs");
const { version } = require("ws/package.json");
const { PerMessageDeflate } = require("ws");

const BATCHES = 50, BATCH = 100;

async function measure(work) {
  for (let at = 0; at < BATCH; at++) await work();
  const times = [];
  for (let batch = 0; batch < BATCHES; batch++) {
    const start = process.cpuUsage();
    for (let at = 0; at < BATCH; at++) await work();
    const { user, system } = process.cpuUsage(start);
    times.push((user + system) / BATCH);
  }
  times.sort((a, b) => a - b);
  return times[BATCHES / 2].toFixed(1).padStart(8);
}

const promised = (object, method) => data =>
  new Promise((resolve, reject) => {
    object[method](data, true, (error, result) => error ? reject(error) : resolve(result));
  });

async function main() {
  const text = readFileSync(process.argv[2]);
  console.log(`ws ${version}, Node ${process.versions.node}`);
  for (const [name, alone] of [["no-context", true], ["context-kept", false]]) {
    const params = alone ? { server_no_context_takeover: [true], client_no_context_takeover: [true] } : {};
    const end = isServer => {
      const deflate = new PerMessageDeflate({ isServer, threshold: 0, zlibDeflateOptions: { level: 6 } });
      deflate.accept([structuredClone(params)]);
      return deflate;
    };
    const compress = promised(end(true), "compress");
    const inflate = promised(end(false), "decompress");
    const frames = [await compress(text), await compress(text), await compress(text)];
    const sizes = frames.map(frame => frame.length + (frame.length < 126 ? 2 : 4));
    console.log(`${name}: ${text.length} bytes become frames of [${sizes.join(", ")}] bytes`);
    // The text repeats, so the third message equals all later ones.
    for (const frame of frames.slice(0, 2)) {
      if (!text.equals(await inflate(frame))) throw new Error("it is not the same");
    }
    console.log(`${name}/compress  ${await measure(() => compress(text))} µs`);
    console.log(`${name}/inflate   ${await measure(async () => (await inflate(frames[2])).toString())} µs`);
  }
}

main();
