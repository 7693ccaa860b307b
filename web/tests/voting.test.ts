import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Outbox, inMemory, type Kept, type Taken } from "../src/lib/outbox";
import { Voting, type Item, type MyTask, type Next } from "../src/lib/voting.svelte";

const TASK: MyTask = { id: "task-one", name: "first", mode: "pair", question: "?", state: "open", left: 5, mine: 0, ahead: 5, guideline: 0, read: 0 };
const item = (n: number): Item => ({ lease: `lease-${n}`, mode: "pair", prompt: [{ role: "user", content: `${n}?` }], texts: ["a", "b"] });

/** A studio with some items that answers what it is asked, and notes it. */
class Studio {
  asked: { url: string; body: any }[] = [];
  waiting: number[];
  said: Partial<Next> = {};
  gone = false;
  constructor(count: number) {
    this.waiting = Array.from({ length: count }, (_, i) => i);
  }
  fetch = async (url: string, { body }: { body: string }): Promise<Response> => {
    if (this.gone) throw new TypeError("gone");
    const asked = JSON.parse(body);
    this.asked.push({ url, body: asked });
    if (url === "/api/leases") return Response.json({ held: (asked.renew ?? []).filter((lease: string) => lease !== "lease-1") });
    const items = this.waiting.splice(0, asked.want).map(item);
    const state = items.length || asked.held.length ? "more" : "done";
    return Response.json({ items, state, with_others: 0, left: 5, mine: 0, ahead: 5, guideline: 0, seconds: 120, ...this.said });
  };
}

let studio: Studio;
let sent: string[];
let stop: () => void;
let slow = false;

beforeEach(() => {
  vi.useFakeTimers();
  sent = [];
  slow = false;
  vi.stubGlobal("document", { hidden: false, addEventListener: () => undefined, removeEventListener: () => undefined });
  vi.stubGlobal("addEventListener", () => undefined);
  vi.stubGlobal("removeEventListener", () => undefined);
});
afterEach(() => {
  stop();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});
const settle = () => vi.advanceTimersByTimeAsync(1);

async function sitting(count = 5, task: Partial<MyTask> = {}, said: Partial<Next> = {}): Promise<Voting> {
  studio = new Studio(count);
  studio.said = said;
  vi.stubGlobal("fetch", studio.fetch);
  const saved = async (batch: Kept[]): Promise<Taken> => {
    sent.push(...batch.map(({ vote, takesBack }) => vote?.lease ?? `back ${takesBack}`));
    if (slow) await new Promise((answered) => setTimeout(answered, 500));
    return { saved: batch.map(({ id }) => ({ id, seq: 1 })), refused: [] };
  };
  const voting = new Voting({ ...TASK, ...task }, new Outbox("me", inMemory(), () => undefined, saved));
  stop = voting.start();
  await settle();
  return voting;
}
const before = (voting: Voting): string[] => voting.items.map(({ lease }) => lease);

test("the next item is there at once, and the one behind it is fetched", async () => {
  const voting = await sitting();
  expect(before(voting)).toEqual(["lease-0", "lease-1", "lease-2"]);
  voting.give({ strength: 1 });
  expect(before(voting)[0]).toBe("lease-1");
  expect([voting.done, voting.total]).toEqual([1, 5]);
  await settle();
  expect(before(voting)).toEqual(["lease-1", "lease-2", "lease-3"]);
  expect(sent).toEqual(["lease-0"]);
  expect(studio.asked.at(-1)!.body).toEqual({ want: 1, held: ["lease-1", "lease-2", "lease-0"] });
});

test("what is taken back is before its voter again, what was skipped is not", async () => {
  const voting = await sitting();
  expect(voting.undo()).toContain("nothing");
  voting.give({ strength: 1 });
  voting.give({ skip: true });
  expect(voting.undo()).toContain("with the others");
  expect(voting.undo()).toContain("Taken back");
  expect(before(voting)[0]).toBe("lease-0");
  await settle();
  expect(sent.slice(0, 2)).toEqual(["lease-0", "lease-1"]);
  expect(sent[2]).toMatch(/^back /);
});

test("a vote that is saved, of which the page does not know yet, is counted once", async () => {
  const voting = await sitting(9);
  slow = true;
  studio.said = { mine: 1, ahead: 4 };
  voting.give({ strength: 1 });
  await settle();
  expect([voting.done, voting.total]).toEqual([1, 5]);
  await vi.advanceTimersByTimeAsync(1000);
  voting.give({ strength: 1 });
  await settle();
  expect(voting.done).toBe(2);
});

test("what the same person votes elsewhere is counted when nothing is on its way", async () => {
  const voting = await sitting(3, {}, { mine: 4, ahead: 1 });
  expect([voting.done, voting.total]).toEqual([4, 5]);
});

test("a guideline is read before the first item, and a newer one before the next", async () => {
  const voting = await sitting(5, {}, { guideline: 1 });
  expect(voting.mustRead).toBe(true);
  voting.hasRead(1);
  studio.said = { guideline: 2 };
  voting.give({ strength: 0 });
  await settle();
  expect(voting.mustRead).toBe(false);
  voting.give({ strength: 0 });
  expect(voting.mustRead).toBe(true);
});

test("after fifty votes a pause is offered, and the items are given back", async () => {
  const voting = await sitting(200);
  for (let i = 0; i < 50; i++) {
    voting.give({ strength: 0 });
    await settle();
  }
  expect([voting.resting, voting.items]).toEqual([true, []]);
  expect(studio.asked.at(-1)!.url).toBe("/api/leases");
  expect(studio.asked.at(-1)!.body.release.length).toBe(2);
  voting.goOn();
  await settle();
  expect([voting.resting, voting.items.length]).toEqual([false, 3]);
});

test("leases are renewed, and what others took meanwhile is let go but for what is looked at", async () => {
  const voting = await sitting();
  await vi.advanceTimersByTimeAsync(41_000);
  expect(studio.asked.find(({ url }) => url === "/api/leases")!.body).toEqual({ renew: ["lease-0", "lease-1", "lease-2"] });
  expect(before(voting)).toEqual(["lease-0", "lease-2", "lease-3"]);
  stop();
  expect(studio.asked.at(-1)!.body.release).toEqual(["lease-0", "lease-2", "lease-3"]);
});

test("nothing left is asked for again after a while, not at once", async () => {
  const voting = await sitting(0);
  expect(voting.news?.state).toBe("done");
  await vi.advanceTimersByTimeAsync(59_000);
  expect(studio.asked.length).toBe(1);
  studio.waiting = [7];
  await vi.advanceTimersByTimeAsync(2_000);
  expect(before(voting)).toEqual(["lease-7"]);
});

test("while the studio is gone it is asked with growing pauses", async () => {
  const voting = await sitting(1);
  studio.gone = true;
  voting.give({ strength: 1 });
  await vi.advanceTimersByTimeAsync(20_000);
  expect(voting.trouble?.code).toBe("gone");
  studio.gone = false;
  studio.waiting = [3];
  await vi.advanceTimersByTimeAsync(31_000);
  expect([voting.trouble, before(voting)]).toEqual([null, ["lease-3"]]);
});
