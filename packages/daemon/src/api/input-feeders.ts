import type { Session } from '@sylph/engine';

/** Which clients' input goes to which session. While there is one, how much input a session will have in the end is not known. */
export class InputFeeders {
  readonly #counts = new WeakMap<Session, number>();

  /** Whether a client feeds the session. */
  has(session: Session): boolean {
    return (this.#counts.get(session) ?? 0) > 0;
  }

  /** Counts a client in, until the result is disposed of. */
  add(session: Session): Disposable {
    this.#change(session, 1);
    let counted = true;
    return {
      [Symbol.dispose]: () => {
        if (counted) this.#change(session, -1);
        counted = false;
      },
    };
  }

  #change(session: Session, by: number): void {
    this.#counts.set(session, (this.#counts.get(session) ?? 0) + by);
  }
}
