import { expect, test } from "vitest";
import { command, following, messages, nothing, read, take, type Turn } from "../src/lib/talk";

const turn = (question: string, n: number, ...texts: string[]): Turn => ({
  question,
  n,
  answers: texts.map((text) => ({ ...nothing(), text, state: "finished" })),
  command: "alignlab chat --model town-m --seed 7",
});

test("each side has its own conversation, without what could not be answered", () => {
  const turns = [turn("a", 0, "left", "right"), turn("b", 1, "more", "")];
  turns[1]!.answers[1]!.state = "failed";
  const [left, right] = messages(turns, "c", 2);
  expect(left!.map((message) => message.content)).toEqual(["a", "left", "b", "more", "c"]);
  expect(right!.map((message) => message.content)).toEqual(["a", "right", "c"]);
  expect(messages([], "x", 1)).toEqual([[{ role: "user", content: "x" }]]);
});

test("what comes is taken in", () => {
  const now: Turn = { question: "a", n: 0, answers: [nothing(), nothing()], command: "" };
  const token = { text: "b", name: "b", logprob: -1, top: [] };
  take(now, { event: "begin", names: ["x", "y"], drawn: null, command: "alignlab chat" });
  take(now, { event: "piece", side: 1, text: "b", tokens: [token] });
  take(now, { event: "piece", side: 1, text: "c", tokens: [] });
  take(now, { event: "verdict", side: 1, gold: 0.5, reason: "form", score: -1.5, unscored: "" });
  take(now, { event: "end", side: 1, finished: false });
  take(now, { event: "failed", side: 0, what: "its process ended", remedy: "ask again" });
  expect(now.answers[1]).toMatchObject({ text: "bc", tokens: [token], gold: 0.5, reason: "form", state: "cut" });
  expect(now.answers[0]).toMatchObject({ state: "failed", problem: "its process ended; ask again" });
  expect(now.command).toBe("alignlab chat");
});

test("the command asks the same lines, and as often again", () => {
  const base = "alignlab chat --model town-m --seed 7";
  expect(command([])).toBe("");
  expect(command([turn("it's", 0, "x")])).toBe(`${base} --once 'it'\\''s'`);
  expect(command([turn("a", 2, "x")])).toBe(`printf '%s\\n' 'a' '/again' '/again' | ${base}`);
  expect(command([turn("/new", 0, "x"), turn("b", 2, "y")])).toBe(`printf '%s\\n' ' /new' 'b' '/again' | ${base}`);
  expect(command([turn("a\nb", 0, "x")])).toBe(`${base} --once 'a\nb'`);
  expect(command([turn("a\nb", 0, "x"), turn("c", 1, "y")])).toBe("");
  expect(following([turn("a", 0, "x"), turn("b", 3, "y")])).toBe(4);
});

test("events are read wherever the stream is cut", async () => {
  const bytes = new TextEncoder().encode('data: {"event":"end","text":"€"}\n\ndata: {"event":"begin"}\n\n');
  const heard: unknown[] = [];
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
      controller.close();
    },
  });
  await read(body, (event) => heard.push(event));
  expect(heard).toEqual([{ event: "end", text: "€" }, { event: "begin" }]);
});
