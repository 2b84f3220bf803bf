import assert from "node:assert/strict";
import { figure, percentile } from "./helpers/figures.js";
import { LibraryProcess, type Round } from "./helpers/library.js";
import { LoadProcess } from "./helpers/load.js";
import { answerPath, picture, picturePath, questionsOf } from "./helpers/pictures.js";
import { demoModel, ServerProcess } from "./helpers/server-process.js";

/** How many rounds there are of each, and how many seconds each takes. */
interface Rounds {
  readonly count: number;
  readonly seconds: number;
}

interface Work {
  readonly callers: number;
  /** Of each request. */
  readonly questionCount: number;
  readonly numBeams: number;
}

/**
 * What HTTP adds to the library's own answers: rounds of both in turn, of which the better ones count, as what else the host does
 * only makes either slower. The model has one thread, as more of them burn time while they wait for each other.
 */
async function compare(
  { callers, questionCount, numBeams }: Work,
  { count, seconds }: Rounds,
): Promise<{ ofServer: Round[]; ofLibrary: Round[] }> {
  const questions = questionsOf(questionCount);
  await using library = new LibraryProcess({ model: demoModel, picturePath, questions, numBeams, threads: 1 });
  await using server = await ServerProcess.start({ args: ["--threads", "1"] });
  await using load = new LoadProcess();
  const url = `${server.url}${answerPath(questionCount)}&numBeams=${numBeams}`;
  const askServer = async (seconds: number): Promise<Round> => {
    const before = await server.cpuMs();
    const { sent, ms } = await load.run({ url, arrivals: { callers }, seconds });
    const cpuMs = (await server.cpuMs()) - before;
    for (const { status, code } of sent) assert.equal(`${status} ${code}`.trim(), "200");
    return { answers: sent.length, ms, cpuMs };
  };
  // What is compiled while it runs is, after this.
  await askServer(2);
  await library.round(callers, 2);
  const ofServer: Round[] = [];
  const ofLibrary: Round[] = [];
  for (let i = 0; i < count; i++) {
    ofServer.push(await askServer(seconds));
    ofLibrary.push(await library.round(callers, seconds));
  }
  return { ofServer, ofLibrary };
}

const cpuOf = ({ cpuMs, answers }: Round): number => cpuMs / answers;
const throughputOf = ({ answers, ms }: Round): number => answers / (ms / 1000);

const spread = (values: readonly number[]): string =>
  [0.1, 0.5, 0.9].map((share) => percentile(values, share).toFixed(2)).join(" / ");

describe("HTTP", function () {
  this.timeout(120_000);
  // What else the host does while one side is measured spoils the comparison with the other.
  this.retries(2);

  it("costs at most 1 ms of CPU a request of 12 KB on top of the library's answer", async () => {
    const { ofServer, ofLibrary } = await compare(
      { callers: 1, questionCount: 1, numBeams: 1 },
      { count: 24, seconds: 0.6 },
    );
    const added = percentile(ofServer.map(cpuOf), 0.1) - percentile(ofLibrary.map(cpuOf), 0.1);
    figure(
      "CPU ms a request, p10 / p50 / p90 of rounds",
      `server ${spread(ofServer.map(cpuOf))}; library ${spread(ofLibrary.map(cpuOf))}`,
    );
    figure(`HTTP's CPU time for a raw body of ${picture.length} bytes`, `${added.toFixed(2)} ms a request`);
    assert(added <= 1, `${added} ms`);
  });

  it("takes at 8 callers no more than 1/0.95 of the library's CPU for an answer: where cores are busy, so far does throughput fall", async () => {
    // A full-size answer takes a second; the demo's model comes nearer to that with beams.
    const { ofServer, ofLibrary } = await compare(
      { callers: 8, questionCount: 32, numBeams: 12 },
      { count: 8, seconds: 2 },
    );
    const ratioOf = (of: (round: Round) => number, share: number) =>
      percentile(ofServer.map(of), share) / percentile(ofLibrary.map(of), share);
    figure(
      "answers a second, p10 / p50 / p90 of rounds",
      `server ${spread(ofServer.map(throughputOf))}; library ${spread(ofLibrary.map(throughputOf))}`,
    );
    // On a host that does nothing else; whoever else wants the cores takes more of them from two processes than from one.
    figure("the server's throughput", `${ratioOf(throughputOf, 0.9).toFixed(3)} of the library's`);
    const ofCpu = 1 / ratioOf(cpuOf, 0.1);
    figure("the library's CPU for an answer", `${ofCpu.toFixed(3)} of the server's`);
    assert(ofCpu >= 0.95, `${ofCpu}`);
  });
});
