// A conversation with one model, or with two side by side, as the page has it and as the studio is asked for it.

import { GONE, Problem, answered, once, type TalkAsked, type TalkChosen, type TalkEvent, type TalkToken } from "./api";

type Judged = TalkChosen["verdicts"][number];

/** What one side says: as far as it is written, and how it ended. */
export interface Answer {
  text: string;
  tokens: TalkToken[];
  forgot: number;
  gold: number | null;
  reason: string;
  score: number | null;
  unscored: string;
  problem: string;
  state: "writing" | "finished" | "cut" | "stopped" | "failed";
}

/** A question and its answers; `n` is how many were asked for before, by which the answers are drawn. */
export interface Turn {
  question: string;
  n: number;
  answers: Answer[];
  command: string;
}

export const nothing = (): Answer => ({ text: "", tokens: [], forgot: 0, gold: null, reason: "", score: null, unscored: "", problem: "", state: "writing" });

/** Which number the next answer of a conversation has. */
export const following = (turns: Turn[]): number => (turns.at(-1)?.n ?? -1) + 1;

/** What each side is asked: its own conversation, the question last. What could not be answered is left out. */
export function messages(turns: Turn[], question: string, sides: number): TalkAsked["messages"] {
  return Array.from({ length: sides }, (_, side) => {
    const before = turns.filter((turn) => turn.answers[side]?.state !== "failed");
    return [
      ...before.flatMap((turn) => [
        { role: "user" as const, content: turn.question },
        { role: "assistant" as const, content: turn.answers[side]?.text ?? "" },
      ]),
      { role: "user" as const, content: question },
    ];
  });
}

/** Take what came of a side into its answer. */
export function take(turn: Turn, event: TalkEvent): void {
  if (event.event === "begin") {
    turn.command = event.command;
    return;
  }
  const answer = turn.answers[event.side];
  if (!answer) return;
  if (event.event === "piece") {
    answer.text += event.text;
    answer.tokens.push(...event.tokens);
  } else if (event.event === "forgot") answer.forgot = event.turns;
  else if (event.event === "verdict") judge(answer, event);
  else if (event.event === "end") answer.state = event.finished ? "finished" : "cut";
  else [answer.state, answer.problem] = ["failed", [event.what, event.remedy].filter(Boolean).join("; ")];
}

/** What gold and a reward model say of an answer. */
export function judge(answer: Answer, { gold, reason, score, unscored }: Judged): void {
  Object.assign(answer, { gold, reason, score, unscored });
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** The command that asks all of it on a terminal, and gets the same answers; empty where no line can say it. */
export function command(turns: Turn[]): string {
  const last = turns.at(-1);
  if (!last?.command) return "";
  const only = turns.length === 1 && last.n === 0;
  if (only) return `${last.command} --once ${quoted(last.question)}`;
  if (turns.some((turn) => /[\n\r]/.test(turn.question))) return "";
  const lines = turns.flatMap((turn, i) => {
    const again = turn.n - following(turns.slice(0, i));
    const line = turn.question.startsWith("/") ? ` ${turn.question}` : turn.question;
    return [line, ...Array<string>(Math.max(0, again)).fill("/again")];
  });
  return `printf '%s\\n' ${lines.map(quoted).join(" ")} | ${last.command}`;
}

/** Ask, and hear what comes; `loading` hears of a model that is being loaded. */
export async function talk(
  asked: TalkAsked,
  hear: (event: TalkEvent) => void,
  loading: (words: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const answer = await once(() => answered("POST", "/api/talk", asked, signal), loading, signal);
  try {
    if (answer.body) await read(answer.body, hear);
  } catch (error) {
    throw signal.aborted ? error : new Problem(0, GONE);
  }
}

/** Events of a stream, one after the other. */
export async function read(body: ReadableStream<Uint8Array>, hear: (event: TalkEvent) => void): Promise<void> {
  const reader = body.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop()!;
    for (const part of parts) hear(JSON.parse(part.replace(/^data: /, "")));
  }
}
