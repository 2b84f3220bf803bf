/** What every test asks of a reply. */
import assert from "node:assert/strict";
import { answerPath, picture } from "./pictures.js";

interface Answers {
  readonly answers: readonly { readonly question: string; readonly answer: string; readonly score: number }[];
}

/** Posts the picture. */
export function post(
  url: string,
  { body = picture, headers = {}, path = answerPath() }: Posting = {},
): Promise<Response> {
  return fetch(`${url}${path}`, { method: "POST", body, headers: { "content-type": "image/png", ...headers } });
}

interface Posting {
  readonly body?: Uint8Array<ArrayBuffer> | string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly path?: string;
}

/** Checks that a server answers as it should. */
export async function assertAnswers(url: string, headers: Readonly<Record<string, string>> = {}): Promise<void> {
  const response = await post(url, { headers });
  assert.equal(response.status, 200, await response.clone().text());
  const { answers } = (await response.json()) as Answers;
  assert.equal(answers.length, 1);
  assert.equal(typeof answers[0]?.answer, "string");
}

/** Checks that a reply is a refusal with a code, as problem+json has it. */
export async function assertProblem(response: Response, status: number, code: string | RegExp): Promise<void> {
  const text = await response.text();
  assert.equal(response.status, status, text);
  assert.match(response.headers.get("content-type") ?? "", /^application\/problem\+json/);
  const problem = JSON.parse(text);
  assert.equal(problem.status, status);
  if (typeof code === "string") assert.equal(problem.code, code);
  else assert.match(problem.code, code);
}
