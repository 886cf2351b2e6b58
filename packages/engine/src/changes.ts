/** Hears the name of a sprite that was made, has changed or is gone. */
export type ChangeListener = (name: string) => void;

/** Tells who listens which sprites of an organization may look different now. Costs nothing where nobody listens. */
export class ChangeFeed {
  readonly #listeners = new Map<string, Set<ChangeListener>>();

  tell(orgId: string, name: string): void {
    for (const heard of this.#listeners.get(orgId) ?? []) heard(name);
  }

  /** Until it is disposed of. */
  listen(orgId: string, heard: ChangeListener): Disposable {
    const listeners = this.#listeners.get(orgId) ?? new Set();
    this.#listeners.set(orgId, listeners.add(heard));
    return {
      [Symbol.dispose]: () => {
        listeners.delete(heard);
        if (listeners.size === 0) this.#listeners.delete(orgId);
      },
    };
  }
}
