/** What deploy/ has: its objects have the right form and fit each other, its alerts fire when they should, and its metrics exist. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse, parseAllDocuments } from "yaml";
import { pathOf } from "../service/helpers/programs.js";
import { root, ServerProcess } from "../service/helpers/server-process.js";
import { mistakesIn, type TypedObject, typed } from "./helpers/object-types.js";

const deploy = join(root, "deploy");
const OVERLAYS = ["cpu", "inf2", "queue", "batch"] as const;
type Overlay = (typeof OVERLAYS)[number];

const read = (path: string) => readFileSync(join(deploy, path), "utf8");

/** Runs a program that must succeed. @returns its standard output. */
function run(program: "kubectl" | "promtool", args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(pathOf(program), args, { cwd: deploy, encoding: "utf8" });
  assert.equal(status, 0, `${program} ${args.join(" ")}\n${stdout}${stderr}`);
  return stdout;
}

const built = new Map<Overlay, string>();

function build(overlay: Overlay): string {
  const text = built.get(overlay) ?? run("kubectl", ["kustomize", `kubernetes/overlays/${overlay}`]);
  built.set(overlay, text);
  return text;
}

const documentsOf = (yaml: string): unknown[] => parseAllDocuments(yaml).map((document) => document.toJS());

/** What is read of a Deployment or a Job. */
interface Workload {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly completions?: number;
    readonly completionMode?: string;
    readonly strategy?: unknown;
    readonly selector?: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly podFailurePolicy?: { readonly rules: readonly unknown[] };
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: {
        readonly terminationGracePeriodSeconds: number;
        readonly securityContext: Readonly<Record<string, unknown>>;
        readonly containers: readonly Container[];
        readonly volumes: readonly { readonly name: string }[];
      };
    };
  };
}

interface Container {
  readonly args: readonly string[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly securityContext: unknown;
  readonly resources: { readonly requests: Readonly<Record<string, string>> };
  readonly volumeMounts: readonly { readonly name: string }[];
  readonly [probe: `${string}Probe`]: { readonly httpGet: { readonly path: string; readonly port: string } };
}

function isWorkload(object: unknown): object is Workload {
  return (
    typeof object === "object" && object !== null && "kind" in object && /^(Deployment|Job)$/.test(`${object.kind}`)
  );
}

function workloadOf(overlay: Overlay): Workload & { readonly container: Container } {
  const workload = documentsOf(build(overlay)).find(isWorkload);
  const container = workload?.spec.template.spec.containers[0];
  assert(workload && container, overlay);
  return { ...workload, container };
}

/** The value of an option, such as "60000" of --grace=60000. */
function optionOf({ args }: Container, name: string): string | undefined {
  return args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3);
}

describe("deploy/kubernetes", () => {
  it("has overlays whose objects have the form that Kubernetes and KEDA want", () => {
    const objects = OVERLAYS.flatMap((overlay) => documentsOf(build(overlay)));
    assert.deepEqual(objects.map((object) => typed(object).type).sort(), [
      ...["IDeployment", "IDeployment", "IDeployment", "IJob"],
      ...["IPodDisruptionBudget", "IPodDisruptionBudget", "IPodDisruptionBudget"],
      ...["IScaledObject", "IService", "IService", "ITriggerAuthentication"],
    ]);
    assert.deepEqual(mistakesIn(objects.map(typed)), []);
  });

  for (const [mistake, overlay, right, wrong, complaint] of [
    ["a misspelt field", "cpu", "readinessProbe:", "readynessProbe:", /'"?readynessProbe"?' does not exist/],
    [
      "a value of a wrong type",
      "queue",
      "maxReplicaCount: 20",
      'maxReplicaCount: "20"',
      /'string' is not assignable to type 'number'/,
    ],
    ["resources in the wrong place", "batch", /requests:\n +cpu: "4"/, 'cpu: "4"', /'"?cpu"?' does not exist/],
  ] as const) {
    it(`would be found to have ${mistake}`, () => {
      const yaml = build(overlay);
      const changed = yaml.replace(right, wrong);
      assert.notEqual(changed, yaml);
      const mistakes = mistakesIn(documentsOf(changed).map(typed));
      assert(mistakes.length > 0);
      assert.match(mistakes.join("\n"), complaint);
    });
  }

  for (const overlay of OVERLAYS) {
    it(`runs ${overlay} without rights, with a grace that is longer than the command's own, from volumes that there are`, () => {
      const { spec, container } = workloadOf(overlay);
      const pod = spec.template.spec;
      assert.deepEqual(container.securityContext, {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      });
      assert.equal(pod.securityContext.runAsNonRoot, true);
      assert.deepEqual(pod.securityContext.seccompProfile, { type: "RuntimeDefault" });
      assert(pod.terminationGracePeriodSeconds * 1000 > Number(optionOf(container, "grace") ?? 30_000));
      const volumes = pod.volumes.map(({ name }) => name).sort();
      assert.deepEqual(container.volumeMounts.map(({ name }) => name).sort(), volumes);
      assert("memory" in container.resources.requests);
      for (const [label, value] of Object.entries(spec.selector?.matchLabels ?? {}))
        assert.equal(spec.template.metadata.labels[label], value);
    });
  }

  it("asks the servers and workers for their health where they listen", () => {
    for (const overlay of ["cpu", "inf2", "queue"] as const) {
      const { container } = workloadOf(overlay);
      for (const probe of ["startupProbe", "livenessProbe", "readinessProbe"] as const) {
        const { path, port } = container[probe]?.httpGet ?? {};
        assert.match(path ?? "", /^\/(startupz|livez|readyz)$/);
        const number = container.ports?.find(({ name }) => name === port)?.containerPort;
        const listens =
          port === "metrics" ? optionOf(container, "metrics-port") : (optionOf(container, "port") ?? "8080");
        assert.equal(String(number), listens, `${overlay} ${probe}`);
      }
    }
  });

  it("rolls servers on the CPU over without ever one less", () => {
    const { spec } = workloadOf("cpu");
    assert.deepEqual(spec.strategy, { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } });
  });

  it("scales the workers that there are, on jobs that wait and jobs under way", () => {
    const { metadata, container } = workloadOf("queue");
    const scaled = documentsOf(build("queue")).find(
      (object): object is Scaled =>
        typeof object === "object" && object !== null && "kind" in object && object.kind === "ScaledObject",
    );
    assert(scaled);
    assert.equal(scaled.spec.scaleTargetRef.name, metadata.name);
    assert.deepEqual(
      scaled.spec.triggers.map(({ metadata: { listName } }) => listName),
      ["bull:pictures:wait", "bull:pictures:active"],
    );
    assert.equal(scaled.spec.triggers[1]?.metadata.listLength, optionOf(container, "concurrency"));
    const timeout = Number(optionOf(container, "timeout"));
    assert(Number(optionOf(container, "grace")) > timeout, "a job may take longer than the grace");
    for (const overlay of OVERLAYS) assert(!build(overlay).includes("kind: HorizontalPodAutoscaler"));
  });

  it("has as many shards as the job has completions, and does not try again after exit code 2", () => {
    const { spec, container } = workloadOf("batch");
    assert.equal(spec.completionMode, "Indexed");
    assert.equal(optionOf(container, "shard"), `auto/${spec.completions}`);
    assert.deepEqual(spec.podFailurePolicy?.rules[0], {
      action: "FailJob",
      onExitCodes: { containerName: "neuron-blip", operator: "In", values: [2] },
    });
  });
});

/** What is read of a ScaledObject. */
interface Scaled {
  readonly spec: {
    readonly scaleTargetRef: { readonly name: string };
    readonly triggers: readonly { readonly metadata: { readonly listName: string; readonly listLength: string } }[];
  };
}

describe("deploy/argo", () => {
  /** Argo's own types are on no registry as TypeScript: its fields that are used, with Kubernetes' types in them. */
  const declarations = `
import type { IContainer, IPodSecurityContext, IVolume } from "kubernetes-models/v1";
interface Parameters { parameters: { name: string; value?: string }[] }
interface Step { name: string; template: string; arguments?: Parameters; withSequence?: { start?: string; end?: string; count?: string } }
interface Template {
  name: string; inputs?: Parameters; steps?: Step[][]; container?: IContainer;
  retryStrategy?: { limit: string; retryPolicy: "Always" | "OnFailure" | "OnError" | "OnTransientError"; expression?: string };
}
interface Workflow {
  apiVersion: "argoproj.io/v1alpha1"; kind: "Workflow"; metadata: { generateName: string };
  spec: {
    entrypoint: string; parallelism?: number; arguments?: Parameters; securityContext?: IPodSecurityContext;
    volumes?: IVolume[]; templates: Template[];
  };
}`;

  it("has a workflow whose pods have the form that Kubernetes wants", () => {
    const value: unknown = parse(read("argo/batch.yaml"));
    const workflow: TypedObject = { value, declarations, type: "Workflow" };
    assert.deepEqual(mistakesIn([workflow]), []);
    const misspelt = parse(read("argo/batch.yaml").replace("mountPath: /tmp", "mountpath: /tmp"));
    assert.match(mistakesIn([{ ...workflow, value: misspelt }]).join("\n"), /mountpath/);
  });
});

describe("deploy/prometheus and deploy/grafana", () => {
  it("have alerts that fire when they should and not before", () => {
    run("promtool", ["check", "rules", "prometheus/alerts.yaml"]);
    run("promtool", ["test", "rules", "prometheus/alerts.test.yaml"]);
  });

  it("say what to do at each alert, and test each", () => {
    const { groups } = parse(read("prometheus/alerts.yaml"));
    const tests = read("prometheus/alerts.test.yaml");
    for (const { alert, annotations, labels } of groups[0].rules) {
      assert(annotations.summary && annotations.runbook && labels.severity, alert);
      assert(tests.includes(`alertname="${alert}"`), alert);
    }
  });

  it("name no metric that a server or a worker has not", async () => {
    await using server = await ServerProcess.start();
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    const types = new Map(
      [...metrics.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = "", type = ""]) => [name, type]),
    );
    // A worker's own, which need a queue.
    const worker = readFileSync(join(root, "packages/server/lib/jobs/job-metrics.ts"), "utf8");
    for (const [, type = "", name = ""] of worker.matchAll(/new (Counter|Gauge)\(\{\s+name: "(neuron_blip_\w+)"/g))
      types.set(name, type.toLowerCase());
    const exists = (name: string) =>
      types.has(name) || types.get(name.replace(/_(bucket|sum|count)$/, "")) === "histogram";
    for (const file of ["prometheus/alerts.yaml", "prometheus/alerts.test.yaml", "grafana/neuron-blip.json"]) {
      const names = new Set([...read(file).matchAll(/\bneuron_blip_\w+/g)].map(([name]) => name));
      assert(names.size > 5, file);
      assert.deepEqual(
        [...names].filter((name) => !exists(name)),
        [],
        file,
      );
    }
    const shown = read("grafana/neuron-blip.json");
    const left = [...types.keys()].filter((name) => !shown.includes(name));
    assert.deepEqual(left, [], "the dashboard leaves them out");
  });
});
