import type { Logger } from '@sylph/engine';

/** What somebody was let in by. */
export interface Proof {
  /** The same for all that was let in by the same. */
  readonly key: string;
  /** Whether it would let in still. */
  readonly stands: () => Promise<boolean>;
}

/** What is open because of a proof. */
interface Admitted {
  readonly proof: Proof;
  /** Breaks it off. */
  readonly giveUp: () => void;
}

/** Breaks off what is open through a link or login that is over, a token that was revoked, or to a sprite that is no longer public, at most one look later. Asks once per proof, however much is open by it. Dispose it. */
export class ProofWatch implements Disposable {
  readonly #open: Iterable<Admitted>;
  readonly #log: Pick<Logger, 'info' | 'warn'>;
  readonly #timer: NodeJS.Timeout;
  #looking = false;

  constructor(
    open: Iterable<Admitted>,
    { log, intervalMs }: { log: Pick<Logger, 'info' | 'warn'>; intervalMs: number },
  ) {
    this.#open = open;
    this.#log = log;
    this.#timer = setInterval(() => void this.#look(), intervalMs).unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      const byKey = Map.groupBy(this.#open, ({ proof }) => proof.key);
      for (const [key, admitted] of byKey) {
        if (await admitted[0]?.proof.stands()) continue;
        for (const { giveUp } of admitted) giveUp();
        this.#log.info(
          { by: key, ended: admitted.length },
          'what was open is ended: who is there would not be let in now',
        );
      }
    } catch (error) {
      // Nothing is decided by it: the next look asks again.
      this.#log.warn({ err: error }, 'it cannot be told whether visitors may stay');
    } finally {
      this.#looking = false;
    }
  }
}
