import { SylphError } from '@sylph/model';

/** What happens at a gate instead of the call, or before it: an error, a wait until the call's own deadline, or something of the test's. */
export type Fault = Error | 'hang' | (() => unknown);

/**
 * Every asynchronous call of a daemon's parts passes here, named `part.method`: tests make calls fail or hang, and end a daemon by freezing it, after which nothing it does has any effect.
 */
export class Gate {
  readonly #faults = new Map<string, Fault[]>();
  /** Names passed, for tests that ask what happened. */
  readonly passed: string[] = [];
  /** Waited for at each call: lets a test shuffle what runs at the same time. */
  pace: () => Promise<void> = () => Promise.resolve();
  #frozen = false;

  get frozen(): boolean {
    return this.#frozen;
  }

  /** The daemon is dead from now on. */
  freeze(): void {
    this.#frozen = true;
  }

  /** The next `times` calls of this name meet the fault. */
  fail(name: string, fault: Fault = new SylphError('internal', `${name} fails`), times = 1): void {
    this.#faults.set(name, [...(this.#faults.get(name) ?? []), ...Array.from({ length: times }, () => fault)]);
  }

  /** No more faults. */
  heal(): void {
    this.#faults.clear();
  }

  async pass(name: string, args: readonly unknown[]): Promise<void> {
    await this.pace();
    if (this.#frozen) await never;
    this.passed.push(name);
    const fault = this.#faults.get(name)?.shift();
    if (fault === undefined) return;
    if (fault instanceof Error) throw fault;
    if (fault === 'hang') throw await deadline(name, args);
    await fault();
    if (this.#frozen) await never;
  }
}

/** Settles never; holds nothing. */
export const never = new Promise<never>(() => undefined);

/** The error a call ends with when nobody answers: at its `deadlineMs`, or when its `signal` aborts. */
async function deadline(name: string, args: readonly unknown[]): Promise<Error> {
  const options = args.at(-1) as { deadlineMs?: number; signal?: AbortSignal } | undefined;
  const { deadlineMs, signal } = options ?? {};
  if (deadlineMs === undefined && signal === undefined) return never;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, deadlineMs ?? 2 ** 30);
    function done(): void {
      clearTimeout(timer);
      resolve();
    }
    if (signal?.aborted) done();
    signal?.addEventListener('abort', done, { once: true });
  });
  return new SylphError('agent_failed', `${name} had no answer`);
}

/** A part whose calls pass the gate; methods named in `sync` answer at once and do not. */
export function guarded<Part extends object>(name: string, part: Part, gate: Gate, sync: readonly string[] = []): Part {
  return new Proxy(part, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      const call = value.bind(target) as (...args: unknown[]) => unknown;
      if (typeof key === 'string' && sync.includes(key)) return call;
      const label = typeof key === 'symbol' ? 'dispose' : key;
      return async (...args: unknown[]) => {
        await gate.pass(`${name}.${label}`, args);
        return call(...args);
      };
    },
  });
}
