// Text of others as a page may show it, and what changed from one text to another.

const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/u;

/** Control characters, bidirectional and zero-width marks escaped as in Python, so that nothing that is left can turn
 * the direction of writing or hide; line ends and tabs stay. As `alignlab.text.escapes.visible`. */
export function visible(text: string): string {
  let seen = "";
  for (const char of text) {
    const code = char.codePointAt(0)!;
    if (char === "\n" || char === "\t" || (code >= 32 && code < 127) || !HIDDEN.test(char)) seen += char;
    else if (code < 0x100) seen += `\\x${code.toString(16).padStart(2, "0")}`;
    else if (code < 0x10000) seen += `\\u${code.toString(16).padStart(4, "0")}`;
    else seen += `\\U${code.toString(16).padStart(8, "0")}`;
  }
  return seen;
}

/** What the studio said, as sentences. */
export function sentences(...said: string[]): string {
  const whole = said.filter(Boolean).map((text) => text.charAt(0).toUpperCase() + text.slice(1).replace(/\.?$/, "."));
  return visible(whole.join(" "));
}

export interface Change {
  what: "same" | "gone" | "new";
  text: string;
}

interface Block {
  a: number;
  b: number;
  size: number;
}

/** The longest run of equal words within two stretches; of equally long ones the first in `a`, then in `b`. */
function longest(a: string[], places: Map<string, number[]>, from: number, to: number, low: number, high: number): Block {
  let best: Block = { a: from, b: low, size: 0 };
  let ending = new Map<number, number>();
  for (let i = from; i < to; i++) {
    const next = new Map<number, number>();
    for (const j of places.get(a[i]!) ?? []) {
      if (j < low) continue;
      if (j >= high) break;
      const size = (ending.get(j - 1) ?? 0) + 1;
      next.set(j, size);
      if (size > best.size) best = { a: i - size + 1, b: j - size + 1, size };
    }
    ending = next;
  }
  return best;
}

/** Equal runs of two lists of words, in order (Ratcliff and Obershelp). */
function blocks(a: string[], b: string[]): Block[] {
  const places = new Map<string, number[]>();
  b.forEach((word, j) => places.set(word, [...(places.get(word) ?? []), j]));
  const found: Block[] = [];
  const stack: [number, number, number, number][] = [[0, a.length, 0, b.length]];
  while (stack.length) {
    const [from, to, low, high] = stack.pop()!;
    const block = longest(a, places, from, to, low, high);
    if (!block.size) continue;
    found.push(block);
    stack.push([from, block.a, low, block.b], [block.a + block.size, to, block.b + block.size, high]);
  }
  return found.sort((one, other) => one.a - other.a);
}

const words = (text: string): string[] => `${text} `.match(/\S+\s+/g) ?? [];

/** What changed, word by word, in order; white space alone is no change. As `alignlab.report.walk.word_diff`. */
export function difference(before: string, after: string): Change[] {
  const [old, now] = [words(before), words(after)];
  const trimmed = (list: string[]) => list.map((word) => word.trim());
  const changes: Change[] = [];
  const add = (what: Change["what"], list: string[]) => {
    const last = changes.at(-1);
    if (!list.length) return;
    if (last?.what === what) last.text += list.join("");
    else changes.push({ what, text: list.join("") });
  };
  let [i, j] = [0, 0];
  for (const block of [...blocks(trimmed(old), trimmed(now)), { a: old.length, b: now.length, size: 0 }]) {
    add("gone", old.slice(i, block.a));
    add("new", now.slice(j, block.b));
    add("same", now.slice(block.b, block.b + block.size));
    [i, j] = [block.a + block.size, block.b + block.size];
  }
  return changes;
}
