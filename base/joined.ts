/** Many who ask for the same at one time share one look. */
export class Joined<T> {
  readonly #look: () => Promise<T>;
  #running: Promise<unknown> = Promise.resolve();
  #next: Promise<T> | null = null;

  constructor(look: () => Promise<T>) {
    this.#look = look;
  }

  /** What a look finds that begins after this was called. @throws what `look` throws */
  ask(): Promise<T> {
    // Who comes while a look waits joins it; one that has begun may have missed what has just changed.
    this.#next ??= this.#running.then(() => {
      this.#next = null;
      const look = this.#look();
      this.#running = look.catch(() => {});
      return look;
    });
    return this.#next;
  }
}
