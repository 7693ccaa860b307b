// What an annotator said stays in the browser until the studio answered that it is saved: in IndexedDB, so that it
// outlives the page, or in memory where the browser keeps nothing.

import { Problem, post, type ErrorBody } from "./api";
import type { components } from "./types";

type Schemas = components["schemas"];
export type Vote = Pick<Schemas["Vote"], "id" | "lease"> & Partial<Schemas["Vote"]>;
export type Taken = Schemas["Taken"];

/** A vote or skip, or one that is taken back; `whose` is the outbox of a person in a store, `n` their order. */
export interface Kept {
  id: string;
  whose: string;
  task: string;
  n: number;
  vote?: Vote;
  takesBack?: string;
}

/** Where they lie; `lasts` is whether that outlives the page. */
export interface Shelf {
  lasts: boolean;
  all(): Promise<Kept[]>;
  put(kept: Kept): Promise<void>;
  remove(id: string): Promise<void>;
}

const MOST = 20;
const MOST_LETTERS = 40_000; // of one request, whose bytes are bounded
const LONGEST_PAUSE = 30_000;
const NEVER = [400, 409, 413, 422]; // sent again it would be refused again
const NEVER_BACK = [...NEVER, 403, 404];

/** A name that nobody can guess; `randomUUID` is missing where the address is not secure. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function inMemory(): Shelf {
  const kept = new Map<string, Kept>();
  return {
    lasts: false,
    all: async () => [...kept.values()],
    put: async (one) => void kept.set(one.id, one),
    remove: async (id) => void kept.delete(id),
  };
}

const done = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** IndexedDB; memory where there is none, or it does not open. */
export async function shelf(): Promise<Shelf> {
  try {
    const opening = indexedDB.open("alignlab-outbox", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("kept", { keyPath: "id" });
    const base = await done(opening);
    const kept = (mode: IDBTransactionMode) => base.transaction("kept", mode).objectStore("kept");
    return {
      lasts: true,
      all: () => done(kept("readonly").getAll() as IDBRequest<Kept[]>),
      put: async (one) => void (await done(kept("readwrite").put(one))),
      remove: async (id) => void (await done(kept("readwrite").delete(id))),
    };
  } catch {
    return inMemory();
  }
}

/** Sends what is one request's: votes together, what is taken back by itself. */
async function send(batch: Kept[]): Promise<Taken> {
  const [first] = batch;
  if (first?.takesBack) {
    await post(`/api/votes/${first.takesBack}/undo`, { undo: first.id });
    return { saved: [{ id: first.id, seq: 0 }], refused: [] };
  }
  return post<Taken>("/api/votes", { votes: batch.map((one) => one.vote) });
}

export class Outbox {
  /** What is not yet saved, in order. */
  waiting: Kept[] = [];
  /** What the studio did not take, and why. */
  refused: { id: string; what: string }[] = [];
  /** Why the last try failed. */
  trouble: ErrorBody | null = null;
  lasts: boolean;
  #most = MOST;
  #tries = 0;
  #last = 0;
  #working = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly whose: string,
    readonly shelf: Shelf,
    readonly changed: () => void,
    readonly sending: (batch: Kept[]) => Promise<Taken> = send,
  ) {
    this.lasts = shelf.lasts;
  }

  /** What was kept before, sent at once. */
  async open(): Promise<void> {
    const kept = (await this.shelf.all()).filter((one) => one.whose === this.whose);
    this.waiting = kept.sort((one, other) => one.n - other.n);
    this.#last = this.waiting.at(-1)?.n ?? 0;
    this.changed();
    void this.flush();
  }

  /** Votes that count and are not yet saved. */
  get votes(): Kept[] {
    const back = new Set(this.waiting.map((one) => one.takesBack));
    return this.waiting.filter((one) => one.vote && !one.vote.skip && !back.has(one.id));
  }

  put(task: string, said: { vote: Vote } | { id: string; takesBack: string }): void {
    this.#last = Math.max(this.#last + 1, Date.now());
    const id = "vote" in said ? said.vote.id : said.id;
    const kept: Kept = { ...said, id, task, whose: this.whose, n: this.#last };
    this.waiting = [...this.waiting, kept];
    this.changed();
    void this.#keep(kept);
  }

  async #keep(kept: Kept): Promise<void> {
    try {
      await this.shelf.put(kept);
    } catch {
      this.lasts = false;
    }
    if (this.#timer === undefined) await this.flush();
  }

  /** Tries now, whatever the pause. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#working) return;
    this.#working = true;
    try {
      while (this.waiting.length && (await this.#one()));
    } finally {
      this.#working = false;
    }
  }

  /** Everything of this person is forgotten. */
  async forget(): Promise<void> {
    this.close();
    const ids = this.waiting.map((one) => one.id);
    this.waiting = [];
    await Promise.all(ids.map((id) => this.shelf.remove(id).catch(() => undefined)));
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  /** One request; whether there may be another at once. */
  async #one(): Promise<boolean> {
    const batch = this.#batch();
    try {
      const taken = await this.sending(batch);
      this.refused = [...this.refused, ...taken.refused.map(({ id, what }) => ({ id, what }))];
      await this.#drop([...taken.saved, ...taken.refused].map(({ id }) => id));
      this.trouble = null;
      this.#tries = 0;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (!(batch[0]?.takesBack ? NEVER_BACK : NEVER).includes(error.status)) return this.#later(error);
      this.#most = 1; // one of them is what is wrong
      if (batch.length === 1) {
        this.refused = [...this.refused, { id: batch[0]!.id, what: error.body.what }];
        await this.#drop([batch[0]!.id]);
      }
    }
    if (!this.waiting.length) this.#most = MOST;
    this.changed();
    return true;
  }

  #batch(): Kept[] {
    const batch: Kept[] = [];
    let letters = 0;
    for (const one of this.waiting.slice(0, this.#most)) {
      letters += JSON.stringify(one).length;
      if (batch.length && (one.takesBack || batch[0]!.takesBack || letters > MOST_LETTERS)) break;
      batch.push(one);
    }
    return batch;
  }

  #later(error: Problem): boolean {
    this.trouble = error.body;
    const pause = Math.min(LONGEST_PAUSE, 1000 * 2 ** this.#tries++);
    this.#timer = setTimeout(() => void this.flush(), pause);
    this.changed();
    return false;
  }

  async #drop(ids: string[]): Promise<void> {
    this.waiting = this.waiting.filter((one) => !ids.includes(one.id));
    await Promise.all(ids.map((id) => this.shelf.remove(id).catch(() => undefined)));
  }
}
