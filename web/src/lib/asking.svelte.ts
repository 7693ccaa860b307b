// Something asked of the studio that is asked again when what it depends on changes: the newest answer wins, and
// what is shown stays until there is another.

import { Problem } from "./api";

export class Asking<T> {
  value = $state.raw<T | null>(null);
  problem = $state.raw<Problem | null>(null);
  asking = $state(false);
  #stop: AbortController | null = null;

  async ask(load: (signal: AbortSignal) => Promise<T>): Promise<void> {
    this.#stop?.abort();
    const stop = (this.#stop = new AbortController());
    this.asking = true;
    try {
      const found = await load(stop.signal);
      if (stop.signal.aborted) return;
      this.value = found;
      this.problem = null;
    } catch (error) {
      if (stop.signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      this.problem = error;
    } finally {
      if (this.#stop === stop) this.asking = false;
    }
  }
}
