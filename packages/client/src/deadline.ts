import { ClientError } from './errors.ts';

/** A wait with an end: what is waited for, how long at most, and who may end it early. */
export interface Deadline {
  /** Completes "… did not answer within 30 s". */
  what: string;
  timeoutMs: number;
  signals: readonly (AbortSignal | undefined)[];
}

/** Runs `work` until it settles, the deadline passes (throws `timeout`), or a signal aborts (throws its reason). `work` has to obey the signal it gets. */
export async function withDeadline<T>(deadline: Deadline, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const link = linkedController(deadline.signals);
  const timer = setTimeout(
    () => link.controller.abort(timeoutError(deadline.what, deadline.timeoutMs)),
    deadline.timeoutMs,
  );
  try {
    return await work(link.controller.signal);
  } catch (thrown) {
    throw link.controller.signal.aborted ? link.controller.signal.reason : thrown;
  } finally {
    clearTimeout(timer);
    link.unlink();
  }
}

/** The error of a wait that took too long. */
export function timeoutError(what: string, timeoutMs: number): ClientError {
  return new ClientError('timeout', `${what} did not answer within ${Math.round(timeoutMs / 1000)} s`, {
    hint: '`sylph doctor` tells whether the server works; the request may still take effect',
    retryable: true,
  });
}

/** A controller that aborts with any of the signals. Call `unlink` at the end, or long-lived signals collect listeners. Throws at once when one is aborted already. */
export function linkedController(signals: readonly (AbortSignal | undefined)[]): {
  controller: AbortController;
  unlink: () => void;
} {
  const controller = new AbortController();
  const undo: (() => void)[] = [];
  for (const signal of signals) {
    if (signal === undefined) continue;
    signal.throwIfAborted();
    const abort = (): void => controller.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    undo.push(() => signal.removeEventListener('abort', abort));
  }
  return { controller, unlink: () => undo.forEach((step) => step()) };
}

/** Waits; rejects with the signal's reason when it aborts first. */
export function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', abort);
      resolve();
    }, ms);
    signal.addEventListener('abort', abort, { once: true });
  });
}
