// Runs the tests that reach the addon against a build with AddressSanitizer and UndefinedBehaviorSanitizer.
// Arguments are passed on to mocha, such as a test file or --grep.
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { buildAddon } from "../addon/build.mjs";
import { capture, run, runMain, SetupError } from "../addon/host.mjs";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** @returns {string[]} the sanitizers' own libraries, which must be in the process before anything they watch */
function sanitizerLibraries() {
  const compiler = process.env.CXX ?? "c++";
  return ["libasan.so", "libubsan.so", "libstdc++.so"].map((name) => {
    const path = capture(compiler, [`-print-file-name=${name}`]).stdout.trim();
    if (path.startsWith("/")) return path;
    throw new SetupError(`the compiler ${compiler} has no ${name}. Sanitised tests need GCC on Linux: install g++.`);
  });
}

await runMain(async () => {
  const addon = await buildAddon({ kind: "Sanitize" });
  const mocha = createRequire(import.meta.url).resolve("mocha/bin/mocha.js");
  const given = process.argv.slice(2);
  const tests =
    given.length > 0
      ? given
      : ["test/torch/{module,tensor,torch}*.test.ts", "test/processing/image-processing.test.ts"];
  // Sanitised code is several times slower, hence the long time-out.
  const args = ["--no-config", "--node-option", "import=tsx", "--timeout", "600000"];
  return run(process.execPath, [mocha, ...args, ...tests], {
    cwd: root,
    env: {
      ...process.env,
      NEURON_BLIP_ADDON: addon,
      LD_PRELOAD: sanitizerLibraries().join(":"),
      // Node and V8 leave memory to the operating system when they end, which is all that leak detection would find.
      // One test asks for more memory than there is: that must reach libtorch as a failed allocation.
      ASAN_OPTIONS: "detect_leaks=0:halt_on_error=1:exitcode=99:allocator_may_return_null=1",
      UBSAN_OPTIONS: "print_stacktrace=1:halt_on_error=1",
    },
  });
});
