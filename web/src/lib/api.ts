// What is asked of the studio. Shapes come from openapi.json; an error is the words that the studio answered.

import type { components } from "./types";

type Schemas = components["schemas"];
export type Node = Schemas["Node"];
export type MapOf = Schemas["Map"];
export type Run = Schemas["Run"];
export type RunRow = Schemas["RunRow"];
export type RunRef = Schemas["RunRef"];
export type Runs = Schemas["Runs"];
export type Figure = Schemas["Figure"];
export type Progress = Schemas["Progress"];
export type Remark = Schemas["Remark"];
export type Missing = Schemas["Missing"];
export type Columns = Schemas["Columns"];
export type Sample = Schemas["Sample"];
export type Samples = Schemas["Samples"];
export type Said = Schemas["Said"];
export type Bins = Schemas["Bins"];
export type Probes = Schemas["Probes"];
export type Tokens = Schemas["Tokens"];
export type Compare = Schemas["Compare"];
export type DemoTask = Schemas["DemoTask"];
export type Pages = Schemas["Pages"];
export type Health = Schemas["Health"];
export type Class = Schemas["Class"];
export type Seat = Schemas["Seat"];
export type Qr = Schemas["Qr"];
export type Room = Schemas["Room"];
export type Joined = Schemas["Joined"];
export type Me = Schemas["Me"];
export type Job = Schemas["Job"];
export type JobCommand = Schemas["JobCommand"];
export type Jobs = Schemas["Jobs"];
export type Learn = Schemas["Learn"];
export type Style = Schemas["Style"];
export type Weighty = Schemas["Weighty"];
export type CampaignRow = Schemas["CampaignRow"];
export type Campaigns = Schemas["Campaigns"];
export type Findings = Schemas["Findings"];
export type Case = Schemas["Case"];
export type Attempts = Schemas["Attempts"];
export type Attempted = Schemas["Attempted"];
export type Label = NonNullable<Attempted["label"]>;
export type HumanLabel = Schemas["HumanLabel"];
export type Queue = Schemas["Queue"];
export type Constitutions = Schemas["Constitutions"];
export type Constitution = Schemas["Constitution"];
export type Linted = Schemas["Linted"];
export type LintFinding = Schemas["LintFinding"];
export type PrincipleText = Schemas["PrincipleText"];
export type Walks = Schemas["Walks"];
export type WalkRow = Schemas["WalkRow"];
export type Walk = Schemas["Walk"];
export type Walked = Schemas["Walked"];
export type S = Schemas["S"];
export type TaskRow = Schemas["TaskRow"];
export type Tasks = Schemas["Tasks"];
export type Task = Schemas["Task"];
export type First = Schemas["First"];
export type ItemsAdded = Schemas["ItemsAdded"];
export type Items = Schemas["Items"];
export type ItemRow = Schemas["ItemRow"];
export type Agreement = Schemas["Agreement"];
export type Annotators = Schemas["Annotators"];
export type Disputes = Schemas["Disputes"];
export type Dispute = Schemas["Dispute"];
export type Power = Schemas["Power"];
export type Changed = Schemas["Changed"];
export type Snapshot = Schemas["Snapshot"];
export type Imported = Schemas["Imported"];
export type Backup = Schemas["Backup"];
export type Audit = Schemas["Audit"];
export type ErrorBody = Schemas["ErrorBody"];
export type Models = Schemas["Models"];
export type TalkAsked = Schemas["TalkAsked"];
export type TalkEvent = Schemas["TalkEvent"]["data"];
export type TalkToken = Schemas["TalkToken"];
export type TalkChosen = Schemas["TalkChosen"];
export type Blind = Schemas["Blind"];
export type BlindResult = Schemas["BlindResult"];
export type Status = RunRow["status"];

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly body: ErrorBody,
  ) {
    super(body.what);
  }
}

export const GONE: ErrorBody = {
  code: "gone",
  what: "the studio does not answer",
  where: globalThis.location?.origin ?? "",
  remedy: "it was stopped, or is starting: the page asks again by itself",
  field: null,
  now: null,
};

type Query = Record<string, string | number | boolean | null | undefined>;

export function address(path: string, query: Query = {}): string {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") asked.set(name, String(value));
  }
  const text = asked.toString();
  return text ? `${path}?${text}` : path;
}

function sending(body: unknown, more: Record<string, string>): RequestInit {
  if (body === undefined) return {};
  if (body instanceof Blob) return { headers: { "Content-Type": "application/octet-stream" }, body };
  return { headers: { "Content-Type": "application/json", ...more }, body: JSON.stringify(body) };
}

/** What the studio answers. Throws a Problem for what it refuses, and where it does not answer. */
export async function answered(
  method: string,
  url: string,
  body?: unknown,
  signal?: AbortSignal,
  more: Record<string, string> = {},
): Promise<Response> {
  let answer: Response;
  try {
    const sent = sending(body, more);
    answer = await fetch(url, { method, signal, ...sent });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, GONE);
  }
  if (answer.ok) return answer;
  const found: unknown = await answer.json().catch(() => null);
  const told = (found as { error?: ErrorBody } | null)?.error;
  throw new Problem(answer.status, told ?? { ...GONE, what: `the studio answered ${answer.status}` });
}

export async function ask<T>(
  method: string,
  url: string,
  body?: unknown,
  signal?: AbortSignal,
  more: Record<string, string> = {},
): Promise<T> {
  const answer = await answered(method, url, body, signal, more);
  return (await answer.json().catch(() => null)) as T;
}

export const get = <T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> =>
  ask<T>("GET", address(path, query), undefined, signal);

export const post = <T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> => ask<T>("POST", path, body, signal);

/** Once what is asked of is loaded: until then `loading` hears how it is, and it is asked again each second. */
export async function once<T>(ask: () => Promise<T>, loading: (words: string) => void, signal?: AbortSignal): Promise<T> {
  for (;;) {
    try {
      const found = await ask();
      loading("");
      return found;
    } catch (error) {
      if (!(error instanceof Problem) || error.body.code !== "model_loading") throw error;
      loading(error.body.what);
    }
    await new Promise((done) => setTimeout(done, 1000));
    signal?.throwIfAborted();
  }
}

export const remove = <T>(path: string): Promise<T> => ask<T>("DELETE", path, {});
export const patch = <T>(path: string, body: unknown): Promise<T> => ask<T>("PATCH", path, body);

/** A file as it is, as the body. */
export const send = <T>(path: string, query: Query, file: Blob): Promise<T> => ask<T>("POST", address(path, query), file);
