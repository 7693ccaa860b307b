// Keys of a screen. Single letters act nowhere in a field, and can be turned off.

/** By the key's name, or "shift+1" to "shift+9" and "alt+ArrowUp" for such. */
export type Keys = Record<string, (event: KeyboardEvent) => void>;
export type Pressed = Pick<KeyboardEvent, "key" | "code" | "shiftKey" | "altKey" | "ctrlKey" | "metaKey">;

const OFF = "studio-keys-off";
export const off = (): boolean => localStorage.getItem(OFF) === "1";
export const turn = (on: boolean): void => (on ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "1"));

const typing = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName) || (target instanceof HTMLInputElement && !/^(radio|checkbox|range)$/.test(target.type)));

const acts = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && /^(A|BUTTON|SUMMARY|INPUT)$/.test(target.tagName) && !(target instanceof HTMLInputElement && target.type === "radio");

/** The names by which a key is looked for, in order: digits of the upper row whatever they write, since some
 * keyboards write them with shift and some without. */
export function names(event: Pressed): string[] {
  if (event.ctrlKey || event.metaKey) return [];
  if (event.altKey) return [`alt+${event.key}`];
  const digit = /^Digit([1-9])$/.exec(event.code)?.[1];
  if (!digit) return [event.key];
  return event.shiftKey ? [`shift+${digit}`, event.key] : [event.key, digit];
}

/** Listens until the answer is called. */
export function keys(of: Keys): () => void {
  const hear = (event: KeyboardEvent) => {
    if (typing(event.target) || (off() && !event.altKey)) return;
    if (event.key === "Enter" && acts(event.target)) return;
    const act = names(event).map((name) => of[name]).find(Boolean);
    if (!act) return;
    event.preventDefault();
    act(event);
  };
  addEventListener("keydown", hear);
  return () => removeEventListener("keydown", hear);
}
