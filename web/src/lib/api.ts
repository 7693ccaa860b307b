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
export type Me = Schemas["Me"];
export type ErrorBody = Schemas["ErrorBody"];
export type Status = RunRow["status"];

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly body: ErrorBody,
  ) {
    super(body.what);
  }
}

const GONE: ErrorBody = {
  code: "gone",
  what: "the studio does not answer",
  where: location.origin,
  remedy: "it was stopped, or is starting: the page asks again by itself",
  field: null,
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

async function ask<T>(method: string, url: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  let answer: Response;
  try {
    const sent = body === undefined ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    answer = await fetch(url, { method, signal, ...sent });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, GONE);
  }
  const found: unknown = await answer.json().catch(() => null);
  if (answer.ok) return found as T;
  const told = (found as { error?: ErrorBody } | null)?.error;
  throw new Problem(answer.status, told ?? { ...GONE, what: `the studio answered ${answer.status}` });
}

export const get = <T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> =>
  ask<T>("GET", address(path, query), undefined, signal);

export const post = <T>(path: string, body: unknown): Promise<T> => ask<T>("POST", path, body);
