// Loaded before the server under test: stands in for the name service and the public network. What is dialled is written down
// by the parent's order; what is dialled outside loopback goes to a server of the tests, or nowhere, and never leaves the host.
import dns from "node:dns";
import { syncBuiltinESMExports } from "node:module";
import { isIP } from "node:net";

/**
 * @typedef {object} Internet
 * @property {Readonly<Record<string, string[][]>>} names the addresses that each look-up of a name finds, the last ones from then on
 * @property {Readonly<Record<string, number>>} routes by public address: the port of loopback that stands for it
 */

/** @type {Internet} */
const { names, routes } = JSON.parse(process.env.STAND_IN_INTERNET ?? "");
/** @type {string[]} */
const lookedUp = [];
/** @type {string[]} */
const dialled = [];

/**
 * @param {string} name
 * @param {any} options
 * @param {any} [callback]
 */
function lookup(name, options, callback) {
  const done = callback ?? options;
  const { all = false } = typeof options === "object" && options !== null ? options : {};
  if (!isIP(name)) lookedUp.push(name);
  const answers = isIP(name) ? [[name]] : names[name];
  const addresses = answers && answers.length > 1 ? answers.shift() : answers?.[0];
  process.nextTick(() => {
    if (!addresses) return done(Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: "ENOTFOUND" }));
    const found = addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
    if (all) done(null, found);
    else done(null, found[0]?.address, found[0]?.family);
  });
}

dns.lookup = /** @type {typeof dns.lookup} */ (/** @type {unknown} */ (lookup));
dns.promises.lookup = /** @type {typeof dns.promises.lookup} */ (
  /** @type {unknown} */ (
    (/** @type {string} */ name, /** @type {any} */ options = {}) =>
      new Promise((resolve, reject) => {
        const done = (/** @type {unknown} */ error, /** @type {any} */ address, /** @type {any} */ family) =>
          error ? reject(error) : resolve(options.all ? address : { address, family });
        lookup(name, options, done);
      })
  )
);
syncBuiltinESMExports();

const { TCP } = /** @type {any} */ (process).binding("tcp_wrap");
for (const method of ["connect", "connect6"]) {
  const original = TCP.prototype[method];
  TCP.prototype[method] = function connect(
    /** @type {unknown} */ request,
    /** @type {string} */ address,
    /** @type {number} */ port,
  ) {
    dialled.push(`${address} ${port}`);
    const isLoopback = /^(127\.|::1$|::ffff:(127\.|7f))/i.test(address);
    if (isLoopback) return original.call(this, request, address, port);
    const standIn = routes[address];
    // ENETUNREACH.
    return standIn === undefined ? -101 : TCP.prototype.connect.original.call(this, request, "127.0.0.1", standIn);
  };
  TCP.prototype[method].original = original;
}

process.on("message", (/** @type {{question: string}} */ { question }) => {
  if (question !== "internet") return;
  process.send?.({ question, answer: { lookedUp: lookedUp.splice(0), dialled: dialled.splice(0) } });
});
process.channel?.unref();
