// Somebody at a task: items that are before them and the next ones, leased and renewed while they look, and what they
// say, which goes into the outbox first.

import { Problem, post, type ErrorBody } from "./api";
import { Outbox, newId, type Kept, type Vote } from "./outbox";
import type { components } from "./types";

type Schemas = components["schemas"];
export type MyTask = Schemas["MyTask"];
export type Item = Schemas["Item"];
export type Next = Schemas["Next"];
export type Said = Omit<Vote, "id" | "lease" | "guideline" | "ms">;

const AT_HAND = 3;
const WAITS = { more: 1000, others: 10_000, done: 60_000, closed: 60_000 }; // milliseconds until it asks again
const LONGEST_PAUSE = 30_000;
const REST_AFTER = 50;

export class Voting {
  /** What is before them, and behind it what comes next. */
  items = $state.raw<Item[]>([]);
  news = $state.raw<Next | null>(null);
  trouble = $state.raw<ErrorBody | null>(null);
  done = $state(0);
  total = $state(0);
  /** The version that was read, and whether a newer one is to be read before the next item. */
  read = $state(0);
  mustRead = $state(false);
  /** After every so many votes of this visit. */
  resting = $state(false);
  seconds: number[] = [];
  #said = 0;
  #given: { id: string; item: Item; skipped: boolean }[] = [];
  #shown = performance.now();
  #hidden = 0;
  #asking = false;
  #left = false;
  #tries = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #renewing: ReturnType<typeof setInterval> | undefined;

  constructor(
    readonly task: MyTask,
    readonly outbox: Outbox,
  ) {
    this.read = task.read;
    this.done = task.mine + this.#uncounted();
    this.total = task.mine + task.ahead;
  }

  /** Asks for items and holds on to them until the answer is called. */
  start(): () => void {
    const turned = () => {
      if (document.hidden) this.#hidden = performance.now();
      else {
        this.#shown += performance.now() - this.#hidden;
        void this.#renew();
      }
    };
    const left = () => this.#release();
    document.addEventListener("visibilitychange", turned);
    addEventListener("pagehide", left);
    addEventListener("pageshow", turned);
    void this.fill();
    return () => {
      this.#left = true;
      document.removeEventListener("visibilitychange", turned);
      removeEventListener("pagehide", left);
      removeEventListener("pageshow", turned);
      clearTimeout(this.#timer);
      clearInterval(this.#renewing);
      left();
    };
  }

  /** What was said of the item that is before them; the next one is there at once. */
  give(said: Said): void {
    const [item, ...next] = this.items;
    if (!item) return;
    const id = newId();
    const ms = Math.round(performance.now() - this.#shown);
    this.outbox.put(this.task.id, { vote: { ...said, id, lease: item.lease, ms, guideline: this.read } });
    this.#given.push({ id, item, skipped: said.skip ?? false });
    this.#said += 1;
    if (said.skip) this.total = Math.max(this.done, this.total - 1);
    else {
      this.done += 1;
      this.seconds.push(ms / 1000);
      this.resting = this.seconds.length % REST_AFTER === 0;
    }
    this.#show(next);
    if (this.resting) this.#letGo();
    else void this.fill();
  }

  /** The newest vote is taken back, and its item is before them again; else why not. */
  undo(): string {
    const last = this.#given.pop();
    if (!last) return "There is nothing to take back since this page was opened.";
    if (last.skipped) return "What you skipped is with the others now.";
    this.outbox.put(this.task.id, { id: newId(), takesBack: last.id });
    this.#said += 1;
    this.done -= 1;
    this.seconds.pop();
    this.resting = false;
    this.#show([last.item, ...this.items]);
    return "Taken back: it is before you again.";
  }

  /** On with it, after a pause. */
  goOn(): void {
    this.resting = false;
    void this.fill();
  }

  /** The guideline of this version was read. */
  hasRead(version: number): void {
    this.read = version;
    this.mustRead = false;
    this.#shown = performance.now();
  }

  /** Asks for as many items as are missing. */
  async fill(): Promise<void> {
    if (this.#asking || this.#left || this.resting || this.items.length >= AT_HAND) return;
    this.#asking = true;
    clearTimeout(this.#timer);
    try {
      const held = [...this.items, ...this.#unsent()].map(({ lease }) => lease);
      const body = { want: AT_HAND - this.items.length, held: [...new Set(held)].slice(-200) };
      const [saved, said] = [!this.#waiting().length, this.#said];
      const news = await post<Next>(`/api/tasks/${this.task.id}/next`, body);
      this.#take(news, saved && said === this.#said);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.trouble = error.body;
      this.#later(Math.min(LONGEST_PAUSE, 1000 * 2 ** this.#tries++));
    } finally {
      this.#asking = false;
    }
    if (this.resting || this.#left) this.#letGo();
  }

  /** What the studio counts is right only when nothing was on its way as it was asked, and nothing said since. */
  #take(news: Next, counts: boolean): void {
    this.trouble = null;
    this.#tries = 0;
    this.news = news;
    const known = new Set([...this.items, ...this.#unsent()].map(({ lease }) => lease));
    const fresh = news.items.filter(({ lease }) => !known.has(lease));
    const before = this.items.length;
    if (counts) this.done = news.mine;
    this.total = Math.max(this.done, news.mine + news.ahead);
    if (before) this.items = [...this.items, ...fresh];
    else this.#show(fresh);
    clearInterval(this.#renewing);
    this.#renewing = setInterval(() => document.hidden || void this.#renew(), (news.seconds * 1000) / 3);
    if (!this.items.length) this.#later(WAITS[news.state]);
  }

  #show(items: Item[]): void {
    this.items = items;
    this.mustRead = (this.news?.guideline ?? 0) > this.read;
    this.#shown = performance.now();
  }

  #later(pause: number): void {
    if (!this.#left) this.#timer = setTimeout(() => (document.hidden ? this.#later(pause) : void this.fill()), pause);
  }

  /** What is said and not yet saved, by its lease. */
  #unsent(): Vote[] {
    return this.outbox.waiting.flatMap(({ vote, task }) => (vote && task === this.task.id ? [vote] : []));
  }

  #waiting(): Kept[] {
    return this.outbox.waiting.filter(({ task }) => task === this.task.id);
  }

  /** How many more votes count than the studio knows of. */
  #uncounted(): number {
    const ours = this.#waiting();
    const sent = new Set(ours.map(({ id }) => id));
    const back = ours.filter(({ takesBack }) => takesBack && !sent.has(takesBack)).length;
    return this.outbox.votes.filter(({ task }) => task === this.task.id).length - back;
  }

  /** Others may have what nobody looks at here. */
  async #renew(): Promise<void> {
    if (this.#left || !this.items.length) return;
    try {
      const { held } = await post<Schemas["Held"]>("/api/leases", { renew: this.items.map(({ lease }) => lease) });
      this.items = this.items.filter(({ lease }, i) => i === 0 || held.includes(lease));
      void this.fill();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
  }

  #letGo(): void {
    this.#release();
    this.items = [];
  }

  #release(): void {
    if (!this.items.length) return;
    const body = JSON.stringify({ release: this.items.map(({ lease }) => lease) });
    void fetch("/api/leases", { method: "POST", keepalive: true, headers: { "Content-Type": "application/json" }, body }).catch(() => undefined);
  }
}
