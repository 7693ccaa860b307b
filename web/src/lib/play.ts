// The first ten seconds as a function of the milliseconds since the map was painted: a question is answered by each
// model in turn, a cursor runs through two PPO runs, and three doors open.

export const END = 10_000;
export const ANSWERS = 1000;
export const CURVES = 4000;
export const DOORS = 8000;

export interface Scene {
  /** How many models have answered. */
  answers: number;
  face: "question" | "curves";
  /** The place of the cursor among the steps; null before it runs. */
  at: number | null;
  doors: boolean;
}

export function scene(ms: number, models: number, steps: number): Scene {
  const turn = (CURVES - ANSWERS) / (models + 1);
  const place = Math.floor(((ms - CURVES) / (DOORS - CURVES)) * steps);
  return {
    answers: Math.max(0, Math.min(models, Math.floor((ms - ANSWERS) / turn) + 1)),
    face: ms < CURVES ? "question" : "curves",
    at: ms < CURVES || !steps ? null : Math.min(steps - 1, place),
    doors: ms >= DOORS,
  };
}

const SEEN = "studio-first-seconds";
export const seen = (): boolean => localStorage.getItem(SEEN) === "1";
export const see = (): void => localStorage.setItem(SEEN, "1");
