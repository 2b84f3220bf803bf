// Read before any test file, by each of the processes that run them at once.

// So that threads of one do not spin for work while those of another want the core.
process.env.OMP_WAIT_POLICY ??= "passive";
