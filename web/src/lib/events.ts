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
export type News = RunNews | TaskNews | { event: "map"; runs: number } | { event: "reset" };

/** Listens to topics ("map", "run:ID", "task:ID") until the answer is called. Whenever the page comes back into view, or the
 * stream was broken, the listener hears "reset": ask again for everything. */
export function listen(topics: string[], hear: (news: News) => void): () => void {
  let stream: EventSource | null = null;
  let before = false;

  function open(): void {
    if (stream || document.hidden) return;
    stream = new EventSource(`/api/events?topics=${encodeURIComponent(topics.join(","))}`);
    for (const kind of ["map", "run", "task", "reset"]) {
      stream.addEventListener(kind, (message) => hear(JSON.parse((message as MessageEvent<string>).data)));
    }
    stream.onopen = () => {
      if (before) hear({ event: "reset" });
      before = true;
    };
  }

  function close(): void {
    stream?.close();
    stream = null;
  }

  const turn = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", turn);
  open();
  return () => {
    document.removeEventListener("visibilitychange", turn);
    close();
  };
}
