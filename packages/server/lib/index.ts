export { runServe } from "./cli/serve.js";
export { runWork } from "./cli/work.js";
export type { ServerContext } from "./context.js";
export type { Limits, ServerOptions } from "./options.js";
export { Problem, type ProblemCode, type ServerErrorCode } from "./problem.js";
export { type BlipServer, createMetricsServer, createServer } from "./server.js";
