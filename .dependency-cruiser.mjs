// Holds the table of docs/architecture.md: what each room of lib may import. `npm run lint` runs it.

/** What every room may import: what several use and what knows none. */
const EVERYBODY = ["lib/util/", "lib/errors\\.ts$"];

/** The face: what users import, and how a model is loaded. */
const FACE = "^lib/(index|neuron-blip|options|load|pipelines|wiring)\\.ts$";

/** Files at the top of lib that do not belong there. */
const LOOSE = { path: "^lib/[^/]+\\.ts$", pathNot: `${FACE}|^lib/errors\\.ts$` };

/**
 * What each room may import besides; see the table.
 * @type {Readonly<Record<string, readonly string[]>>}
 */
const ROOMS = {
  tasks: ["images", "blip", "processing", "generation", "serving", "torch"],
  images: ["blip", "processing", "serving", "torch"],
  // A checkpoint's directory may be on the Hub, and its weights are safetensors.
  blip: ["generation", "processing", "hub", "torch"],
  // Their files may be on the Hub, too.
  processing: ["hub", "torch"],
  generation: [],
  serving: ["torch"],
  hub: [],
  torch: [],
  util: [],
};

/** Started by URL, which no import shows. */
const ENTRY_POINTS = [
  "lib/index\\.ts",
  "lib/cli/main\\.ts",
  "lib/images/decode-worker\\.ts",
  "lib/torch/neuron/test-load\\.ts",
  "lib/tools/doctor/native-child\\.ts",
  "lib/tools/validate/(step|exit)-process\\.ts",
];

const rooms = Object.entries(ROOMS).map(([room, others]) => {
  const may = [room, ...others].map((name) => `lib/${name}/`);
  return {
    name: `room-${room}`,
    comment: `${room} may import ${others.join(", ") || "nothing"}, util and errors`,
    severity: /** @type {const} */ ("error"),
    from: { path: `^lib/${room}/` },
    to: { path: "^lib/", pathNot: `^(${[...may, ...EVERYBODY].join("|")})` },
  };
});

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    ...rooms,
    {
      name: "errors",
      comment: "errors.ts may import util alone",
      severity: "error",
      from: { path: "^lib/errors\\.ts$" },
      to: { path: "^lib/", pathNot: "^lib/util/" },
    },
    {
      name: "tools-know-no-other-tool",
      comment: "a tool may import no other, save tools/report",
      severity: "error",
      from: { path: "^lib/tools/([^/]+)/" },
      to: { path: "^lib/tools/", pathNot: "^lib/tools/($1|report)/" },
    },
    {
      name: "nobody-knows-tools",
      comment: "only cli and the tools import tools; nobody imports cli",
      severity: "error",
      from: { path: "^lib/", pathNot: "^lib/(cli|tools)/" },
      to: { path: "^lib/(cli|tools)/" },
    },
    {
      name: "tools-know-no-cli",
      severity: "error",
      from: { path: "^lib/tools/" },
      to: { path: "^lib/cli/" },
    },
    {
      name: "cli",
      comment: "cli may import the face, tools, hub, util and errors",
      severity: "error",
      from: { path: "^lib/cli/" },
      to: { path: "^lib/", pathNot: [`^(lib/(cli|tools|hub)/|${EVERYBODY.join("|")})`, FACE] },
    },
    {
      name: "server",
      comment: "the server knows the library as its users do, by its name",
      severity: "error",
      from: { path: "^packages/server/" },
      to: { path: "^lib/" },
    },
    // At the top of lib is the face, and errors.ts.
    { name: "no-loose-file", severity: "error", from: LOOSE, to: {} },
    { name: "no-import-of-a-loose-file", severity: "error", from: {}, to: LOOSE },
    { name: "no-circle", severity: "error", from: {}, to: { circular: true } },
    {
      name: "no-orphan",
      comment: "a file that nothing imports and nobody starts",
      severity: "error",
      from: { orphan: true, path: "^lib/", pathNot: `^(${ENTRY_POINTS.join("|")})$` },
      to: {},
    },
    {
      name: "no-undeclared-package",
      comment: "what lib imports is a dependency",
      severity: "error",
      from: { path: "^lib/" },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"] },
    },
  ],
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
  },
};
