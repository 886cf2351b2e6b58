import type { StopCause } from '@sylph/engine';
import type { SignalName } from '@sylph/model';
import { Countdown } from './countdown.ts';

/** Between the polite signal to a process that is to end and SIGKILL, ms. */
const killAfterMs = 10_000;

export interface StoppingOptions {
  /** Sends a signal to the process; rejects when it did not get there. */
  signal: (signal: SignalName) => Promise<void>;
  /** What asks a process to end that nobody is attached to any more. */
  unwatchedSignal: SignalName;
  /** A signal nobody waits for did not get there. */
  onFailed: (signal: SignalName, error: unknown) => void;
}

/** How a process is brought to its end: when, by which signals, and why. Its time stands still until {@link release}. */
export class Stopping {
  readonly #options: StoppingOptions;
  readonly #unwatched: Countdown;
  readonly #limit: Countdown;
  #kill: NodeJS.Timeout | undefined;
  #cause: StopCause | undefined;
  #over = false;

  constructor(options: StoppingOptions) {
    this.#options = options;
    this.#unwatched = new Countdown(() => this.#stopQuietly(options.unwatchedSignal));
    this.#limit = new Countdown(() => this.#stopQuietly('TERM', 'timeout'));
    this.hold();
  }

  /** Why it was told to end, as far as that is part of its end. */
  get cause(): StopCause | undefined {
    return this.#cause;
  }

  /** The signal now, KILL later if it takes no notice. Rejects when the signal did not get there; then nothing has changed. */
  async stop(signal: SignalName, cause: StopCause): Promise<void> {
    const before = this.#cause;
    // Its end may arrive ahead of the answer.
    this.#cause = cause;
    try {
      await this.#options.signal(signal);
    } catch (error) {
      this.#cause = before;
      throw error;
    }
    this.#killLater();
  }

  /** Nobody is attached: it is told to end after so long. */
  unwatched(afterMs: number): void {
    if (!this.#over) this.#unwatched.start(afterMs);
  }

  /** Somebody is: that saves it from being ended for want of clients, not from another cause. */
  watched(): void {
    this.#unwatched.stop();
    if (this.#cause === undefined) clearTimeout(this.#kill);
  }

  /** It is told to end when it has run so long. */
  limit(lengthMs: number): void {
    this.#limit.start(lengthMs);
  }

  /** Time stands still: the process is out of reach. */
  hold(): void {
    this.#unwatched.hold();
    this.#limit.hold();
  }

  release(): void {
    this.#unwatched.release();
    this.#limit.release();
  }

  /** It has ended, or is nobody's business here any more. */
  close(): void {
    this.#over = true;
    this.#unwatched.stop();
    this.#limit.stop();
    clearTimeout(this.#kill);
  }

  /** As {@link stop}, with nobody to hear of a failure. The first cause is the cause. */
  #stopQuietly(signal: SignalName, cause?: StopCause): void {
    this.#cause ??= cause;
    this.#signalQuietly(signal);
    this.#killLater();
  }

  #killLater(): void {
    clearTimeout(this.#kill);
    if (!this.#over) this.#kill = setTimeout(() => this.#signalQuietly('KILL'), killAfterMs);
  }

  #signalQuietly(signal: SignalName): void {
    this.#options.signal(signal).catch((error: unknown) => {
      if (!this.#over) this.#options.onFailed(signal, error);
    });
  }
}
