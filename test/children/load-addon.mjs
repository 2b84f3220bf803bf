/** Loads the addon that NEURON_BLIP_ADDON names, as a user who owns nothing where this one is root, and prints what became of it. */
import { native } from "../../dist/torch/native.js";

if (process.getuid?.() === 0) {
  process.setgroups([]);
  process.setgid(65534);
  process.setuid(65534);
}
try {
  native();
  console.log(JSON.stringify({ code: "loaded" }));
} catch ({ code, message }) {
  console.log(JSON.stringify({ code, message }));
}
