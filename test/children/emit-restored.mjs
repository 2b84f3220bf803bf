// Loads the addon while process.emit is wrapped, puts back what was there before, as the package signal-exit does, and exits.
import { native } from "../../dist/torch/native.js";

const { emit } = process;
process.emit = function (...event) {
  return Reflect.apply(emit, this, event);
};
const addon = native();
const { shutdown } = addon;
addon.shutdown = (...args) => {
  console.log("stopped", ...args);
  shutdown(...args);
};
if (process.argv[2] === "restored") process.emit = emit;
process.exit(3);
