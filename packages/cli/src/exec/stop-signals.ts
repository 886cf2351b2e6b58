import { Interrupted } from '../failure.ts';

const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;

/** How often the same signal has to come until we leave a command that does not end. */
const patience = 3;

/**
 * Passes the signals this process gets on to a command. Ctrl+C three times leaves a command that does not react; before there is a command, or once is enough for
 * one that cannot be signalled, `leave` is called at once.
 */
export class StopSignals implements Disposable {
  readonly #counts = new Map<string, number>();
  readonly #handlers: [NodeJS.Signals, () => void][];
  readonly #leave: (reason: Interrupted) => void;
  readonly #warn: (text: string) => void;
  #forward: ((name: string) => void) | undefined;

  constructor(options: { leave: (reason: Interrupted) => void; warn: (text: string) => void }) {
    this.#leave = options.leave;
    this.#warn = options.warn;
    this.#handlers = forwarded.map((name) => [name, () => this.#take(name)]);
    for (const [name, handler] of this.#handlers) process.on(name, handler);
  }

  /** From now on signals go to the command. */
  forwardTo(forward: (name: string) => void): void {
    this.#forward = forward;
  }

  [Symbol.dispose](): void {
    for (const [name, handler] of this.#handlers) process.off(name, handler);
  }

  #take(name: (typeof forwarded)[number]): void {
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    const ends = name === 'SIGINT' || name === 'SIGTERM' || name === 'SIGHUP';
    if (ends && (this.#forward === undefined || count >= patience)) return this.#leave(new Interrupted(name));
    this.#forward?.(name.slice(3));
    if (name === 'SIGINT' && count === patience - 1)
      this.#warn('the command has not ended yet; Ctrl+C once more leaves it');
  }
}
