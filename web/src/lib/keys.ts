// Keys of a screen. Single letters act nowhere in a field, and can be turned off.

export type Keys = Record<string, () => void>;

const OFF = "studio-keys-off";
export const off = (): boolean => localStorage.getItem(OFF) === "1";
export const turn = (on: boolean): void => (on ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "1"));

const typing = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

/** Listens until the answer is called. */
export function keys(of: Keys): () => void {
  const hear = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || off()) return;
    const act = of[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  };
  addEventListener("keydown", hear);
  return () => removeEventListener("keydown", hear);
}
