// News of what has grown: one stream a page, closed while nobody looks. News says how far a file has come; what
// stands in it is asked for.

import type { Progress, Status } from "./api";

export interface RunNews {
  event: "run";
  id: string;
  generation: number;
  status: Status;
  rows: { metrics: number; samples: number; health: number; tokens: number; probes: number };
  progress: Progress | null;
}
export interface TaskNews {
  event: "task";
  id: string;
  votes: number;
  done: number;
  online: number;
}
export interface JobsNews {
  event: "jobs";
  running: string | null;
  waiting: number;
  progress: Progress | null;
}
export type News = RunNews | TaskNews | JobsNews | { event: "map"; runs: number } | { event: "reset" };
const KINDS = ["map", "run", "task", "jobs", "reset"];

interface Listener {
  topics: string[];
  hear: (news: News) => void;
}
const listeners = new Set<Listener>();
let stop: (() => void) | null = null;
let turning = false;

/** Listens to topics ("map", "jobs", "run:ID", "task:ID") until the answer is called. Whenever the page comes back into view, or
 * the stream was broken, the listener hears "reset": ask again for everything. */
export function listen(topics: string[], hear: (news: News) => void): () => void {
  const listener = { topics, hear };
  listeners.add(listener);
  turn();
  return () => {
    listeners.delete(listener);
    turn();
  };
}

/** One stream for all that listen, with the topics of all, since a browser has six connections to a host. A stream
 * begins with how each topic is. */
function turn(): void {
  if (turning) return;
  turning = true;
  queueMicrotask(() => {
    turning = false;
    stop?.();
    const topics = [...new Set([...listeners].flatMap((listener) => listener.topics))];
    stop = topics.length ? stream(topics) : null;
  });
}

function tell(news: News): void {
  const topic = "id" in news ? `${news.event}:${news.id}` : news.event;
  for (const listener of [...listeners]) {
    if (news.event === "reset" || listener.topics.includes(topic)) listener.hear(news);
  }
}

function stream(topics: string[]): () => void {
  let source: EventSource | null = null;
  let before = false;

  function open(): void {
    if (source || document.hidden) return;
    source = new EventSource(`/api/events?topics=${encodeURIComponent(topics.join(","))}`);
    for (const kind of KINDS) {
      source.addEventListener(kind, (message) => tell(JSON.parse((message as MessageEvent<string>).data)));
    }
    source.onopen = () => {
      if (before) tell({ event: "reset" });
      before = true;
    };
  }

  function close(): void {
    source?.close();
    source = null;
  }

  const seen = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", seen);
  open();
  return () => {
    document.removeEventListener("visibilitychange", seen);
    close();
  };
}
