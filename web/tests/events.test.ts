import { beforeEach, expect, test, vi } from "vitest";

type Hear = (message: { data: string }) => void;

class Source {
  static all: Source[] = [];
  heard: Record<string, Hear> = {};
  closed = false;
  onopen: (() => void) | null = null;
  constructor(readonly url: string) {
    Source.all.push(this);
  }
  addEventListener(kind: string, hear: Hear): void {
    this.heard[kind] = hear;
  }
  tell(news: { event: string; [name: string]: unknown }): void {
    this.heard[news.event]?.({ data: JSON.stringify(news) });
  }
  close(): void {
    this.closed = true;
  }
}
const open = () => Source.all.filter((source) => !source.closed);
const settled = () => new Promise<void>((done) => queueMicrotask(done));

beforeEach(() => {
  Source.all = [];
  vi.resetModules();
  vi.stubGlobal("EventSource", Source);
  vi.stubGlobal("document", { hidden: false, addEventListener: () => {}, removeEventListener: () => {} });
});

test("all who listen share one stream, and hear what they asked for", async () => {
  const { listen } = await import("../src/lib/events");
  const jobs: string[] = [];
  const run: string[] = [];
  listen(["jobs"], (news) => jobs.push(news.event));
  const leave = listen(["run:a", "map"], (news) => run.push(news.event));
  await settled();
  expect(open().map((source) => decodeURIComponent(source.url))).toEqual(["/api/events?topics=jobs,run:a,map"]);
  open()[0]!.tell({ event: "jobs", running: null, waiting: 0, progress: null });
  open()[0]!.tell({ event: "run", id: "a" });
  open()[0]!.tell({ event: "run", id: "b" });
  open()[0]!.tell({ event: "reset" });
  expect([jobs, run]).toEqual([["jobs", "reset"], ["run", "reset"]]);
  leave();
  await settled();
  expect(open().map((source) => decodeURIComponent(source.url))).toEqual(["/api/events?topics=jobs"]);
});

test("a stream that was broken is a reset, and without listeners there is none", async () => {
  const { listen } = await import("../src/lib/events");
  const heard: string[] = [];
  const leave = listen(["map"], (news) => heard.push(news.event));
  await settled();
  open()[0]!.onopen?.();
  expect(heard).toEqual([]);
  open()[0]!.onopen?.();
  expect(heard).toEqual(["reset"]);
  leave();
  await settled();
  expect(open()).toEqual([]);
});
