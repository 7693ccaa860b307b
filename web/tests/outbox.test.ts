import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Problem } from "../src/lib/api";
import { Outbox, inMemory, newId, type Kept, type Shelf, type Taken } from "../src/lib/outbox";

const problem = (status: number): Problem => new Problem(status, { code: "x", what: `status ${status}`, where: "", remedy: "", field: null });
const saved = (batch: Kept[]): Taken => ({ saved: batch.map(({ id }) => ({ id, seq: 1 })), refused: [] });
const vote = (id: string, more = {}) => ({ vote: { id, lease: `lease-${id}`, strength: 1, ...more } });

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function box(sending: (batch: Kept[]) => Promise<Taken>, kept: Shelf = inMemory(), whose = "me"): Outbox {
  return new Outbox(whose, kept, () => undefined, sending);
}
const settle = () => vi.advanceTimersByTimeAsync(0);

test("a vote is kept until the studio said that it is saved", async () => {
  const shelf = inMemory();
  let answer = (): void => undefined;
  const outbox = box((batch) => new Promise((resolve) => (answer = () => resolve(saved(batch)))), shelf);
  outbox.put("task", vote("one"));
  await settle();
  expect(outbox.votes.length).toBe(1);
  expect((await shelf.all()).length).toBe(1);
  answer();
  await settle();
  expect(outbox.waiting).toEqual([]);
  expect(await shelf.all()).toEqual([]);
});

test("while the studio is gone pauses grow, and then all goes out in order", async () => {
  const tries: number[] = [];
  let gone = true;
  const sent: string[] = [];
  const outbox = box(async (batch) => {
    tries.push(Date.now());
    if (gone) throw problem(0);
    sent.push(...batch.map(({ id }) => id));
    return saved(batch);
  });
  const start = Date.now();
  for (const id of ["one", "two", "three"]) outbox.put("task", vote(id));
  await vi.advanceTimersByTimeAsync(61_000);
  expect(tries.map((at) => Math.round((at - start) / 1000))).toEqual([0, 1, 3, 7, 15, 31, 61]);
  expect(outbox.votes.length).toBe(3);
  expect(outbox.trouble?.what).toBe("status 0");
  gone = false;
  await outbox.flush();
  expect(sent).toEqual(["one", "two", "three"]);
  expect(outbox.trouble).toBe(null);
});

test.each([503, 429, 401, 408, 500])("a %s keeps everything", async (status) => {
  const outbox = box(() => Promise.reject(problem(status)));
  outbox.put("task", vote("one"));
  await settle();
  expect([outbox.votes.length, outbox.refused.length]).toEqual([1, 0]);
});

test("what the studio refuses is said and let go, the others are saved", async () => {
  const outbox = box(async (batch) => {
    const [bad, good] = [batch.filter(({ id }) => id === "bad"), batch.filter(({ id }) => id !== "bad")];
    return { ...saved(good), refused: bad.map(({ id }) => ({ id, code: "not_yours", what: "somebody else's" })) };
  });
  for (const id of ["good", "bad", "fine"]) outbox.put("task", vote(id));
  await settle();
  expect(outbox.waiting).toEqual([]);
  expect(outbox.refused).toEqual([{ id: "bad", what: "somebody else's" }]);
});

test("a request that cannot be read is sent vote by vote, so that one does not hold up the others", async () => {
  const sent: string[][] = [];
  const outbox = box(async (batch) => {
    sent.push(batch.map(({ id }) => id));
    if (batch.some(({ id }) => id === "bad")) throw problem(422);
    return saved(batch);
  });
  for (const id of ["one", "bad", "two"]) outbox.put("task", vote(id));
  await settle();
  expect(outbox.waiting).toEqual([]);
  expect(outbox.refused.map(({ id }) => id)).toEqual(["bad"]);
  expect(sent.at(-1)).toEqual(["two"]);
});

test("taking back goes by itself and in its place, and a vote that is taken back counts no more", async () => {
  const sent: string[][] = [];
  let gone = true;
  const outbox = box(async (batch) => {
    if (gone) throw problem(0);
    sent.push(batch.map(({ id }) => id));
    return saved(batch);
  });
  outbox.put("task", vote("one"));
  outbox.put("task", { id: "back", takesBack: "one" });
  outbox.put("task", vote("again"));
  outbox.put("task", vote("skipped", { skip: true }));
  await settle();
  expect(outbox.votes.map(({ id }) => id)).toEqual(["again"]);
  gone = false;
  await outbox.flush();
  expect(sent).toEqual([["one"], ["back"], ["again", "skipped"]]);
});

test("a vote that cannot be taken back any more is let go", async () => {
  const outbox = box(() => Promise.reject(problem(404)));
  outbox.put("task", { id: "back", takesBack: "one" });
  await settle();
  expect([outbox.waiting.length, outbox.refused.length]).toEqual([0, 1]);
});

test("another visit sends what was kept, and nobody sends what is somebody else's", async () => {
  const shelf = inMemory();
  const before = box(() => Promise.reject(problem(0)), shelf);
  for (const id of ["one", "two"]) before.put("task", vote(id));
  box(() => Promise.reject(problem(0)), shelf, "somebody").put("task", vote("theirs"));
  await settle();
  const sent: string[] = [];
  const now = box(async (batch) => (sent.push(...batch.map(({ id }) => id)), saved(batch)), shelf);
  await now.open();
  await settle();
  expect(sent).toEqual(["one", "two"]);
  expect((await shelf.all()).map(({ id }) => id)).toEqual(["theirs"]);
});

test("one request has twenty votes at most, and not too many letters", async () => {
  const sizes: number[] = [];
  let gone = true;
  const outbox = box(async (batch) => {
    if (gone) throw problem(0);
    sizes.push(batch.length);
    return saved(batch);
  });
  for (let i = 0; i < 25; i++) outbox.put("task", vote(`short-${i}`));
  for (let i = 0; i < 3; i++) outbox.put("task", vote(`long-${i}`, { text: "x".repeat(15_000) }));
  await settle();
  gone = false;
  await outbox.flush();
  expect(sizes).toEqual([20, 7, 1]);
});

test("who is erased leaves nothing here", async () => {
  const shelf = inMemory();
  const outbox = box(() => Promise.reject(problem(0)), shelf);
  outbox.put("task", vote("one"));
  await settle();
  await outbox.forget();
  expect(await shelf.all()).toEqual([]);
});

test("a browser that cannot keep it says so, and sends it all the same", async () => {
  const sent: string[] = [];
  const full: Shelf = { ...inMemory(), lasts: true, put: () => Promise.reject(new Error("quota")) };
  const outbox = box(async (batch) => (sent.push(...batch.map(({ id }) => id)), saved(batch)), full);
  outbox.put("task", vote("one"));
  await settle();
  expect([outbox.lasts, sent]).toEqual([false, ["one"]]);
});

test("ids are as the store wants them", () => {
  const ids = new Set(Array.from({ length: 100 }, newId));
  expect(ids.size).toBe(100);
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
});
