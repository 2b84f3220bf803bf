import type { Probe } from "../examination.js";
import { ok, skipped, warning } from "../finding.js";

const FAST = /openblas|mkl|blis|atlas|flexiblas|nvpl|armpl|accelerate/i;

/** The linear algebra that libtorch uses. */
export const blas: Probe = {
  id: "blas",
  async run(examination) {
    const { answer } = await examination.addon();
    if (answer?.ok !== true) return skipped("blas", "Not looked at: the addon does not load.");
    const found = answer.value.libraries.filter((path) => /lib\w*(blas|mkl|blis|atlas|nvpl|armpl)\w*[-.]/i.test(path));
    const fast = found.find((path) => FAST.test(path));
    if (fast !== undefined) return ok("blas", `libtorch calculates with ${fast}.`, { libraries: found });
    const slow = found.find((path) => /\/libblas\.so/.test(path));
    if (slow === undefined) return ok("blas", "libtorch calculates with what is built into it.", { libraries: found });
    return warning(
      "blas",
      `libtorch calculates with the reference BLAS (${slow}), which is some 40 times slower than OpenBLAS.`,
      "Install OpenBLAS (Debian, Ubuntu: `apt-get install libopenblas0-pthread`), which takes its place at once.",
      { libraries: found },
    );
  },
};
