import { expect, test } from "vitest";
import { names, type Pressed } from "../src/lib/keys";

const pressed = (key: string, more: Partial<Pressed> = {}): Pressed => ({ key, code: "", shiftKey: false, altKey: false, ctrlKey: false, metaKey: false, ...more });

test.each([
  ["a letter", pressed("u", { code: "KeyU" }), ["u"]],
  ["a digit", pressed("3", { code: "Digit3" }), ["3", "3"]],
  ["a digit where the row writes signs", pressed("é", { code: "Digit2" }), ["é", "2"]],
  ["with shift it says how sure", pressed("!", { code: "Digit1", shiftKey: true }), ["shift+1", "!"]],
  ["also where shift writes the digit", pressed("1", { code: "Digit1", shiftKey: true }), ["shift+1", "1"]],
  ["a digit of the pad", pressed("7", { code: "Numpad7" }), ["7"]],
  ["the pad without its lock", pressed("Home", { code: "Numpad7" }), ["Home"]],
  ["moving an answer", pressed("ArrowUp", { altKey: true }), ["alt+ArrowUp"]],
  ["what is the browser's", pressed("1", { code: "Digit1", ctrlKey: true }), []],
  ["what is the system's", pressed("s", { metaKey: true }), []],
])("%s", (_, event, found) => {
  expect(names(event)).toEqual(found);
});
