import { type StreamLine, SylphError } from '@sylph/model';
import type { FastifyBaseLogger } from 'fastify';
import { logFailure } from './failure-log.ts';
import { shownFailure } from './shown-failure.ts';

/** A stream without news says that the work goes on. */
const stillIntervalMs = 15_000;

/** Work that is told of in lines. */
export interface ToldWork {
  /** First line, told before the work begins. */
  first: string;
  /** Told when nothing else was for a while. */
  still: string;
  /** Begins the error line. */
  failed: string;
  /** Does it, telling steps: few of them. Returns the text of the last line. */
  work: (info: (data: string) => void) => Promise<string>;
}

/**
 * The lines of a piece of work, which begins at once and goes on whether they are read or not. Whatever happens, the last line says how it ended; a failure on our side is
 * logged. Never throws.
 */
export function tellWork(told: ToldWork, log: FastifyBaseLogger): AsyncGenerator<StreamLine, void, undefined> {
  const lines = new LineShelf();
  const info = (data: string): void => lines.add({ type: 'info', data });
  info(told.first);
  void (async () => {
    try {
      lines.add({ type: 'complete', data: await told.work(info) });
    } catch (thrown) {
      if (SylphError.from(thrown).status >= 500) logFailure(log, thrown, 'streamed work failed');
      const { code, message, hint } = shownFailure(thrown);
      const error = `${told.failed}: ${message}`;
      lines.add({ type: 'error', error, code, hint });
    }
  })();
  return lines.read(told.still);
}

/** Lines that wait for their reader. */
class LineShelf {
  readonly #startedAt = Date.now();
  #lines: StreamLine[] = [];
  #added = Promise.withResolvers<void>();

  add(line: Omit<StreamLine, 'time'>): void {
    this.#lines.push(lineNow(line));
    this.#added.resolve();
  }

  /** Ends with the line that says how the work ended. */
  async *read(still: string): AsyncGenerator<StreamLine, void, undefined> {
    for (;;) {
      const line = this.#lines.shift() ?? (await this.#next(still));
      yield line;
      if (line.type === 'complete' || line.type === 'error') return;
    }
  }

  /** What is added next, or after a while that nothing was. */
  async #next(still: string): Promise<StreamLine> {
    this.#added = Promise.withResolvers();
    const silence = Promise.withResolvers<void>();
    const timer = setTimeout(silence.resolve, stillIntervalMs);
    await Promise.race([this.#added.promise, silence.promise]);
    clearTimeout(timer);
    const seconds = Math.round((Date.now() - this.#startedAt) / 1000);
    return this.#lines.shift() ?? lineNow({ type: 'info', data: `${still} (${seconds} s)` });
  }
}

function lineNow(line: Omit<StreamLine, 'time'>): StreamLine {
  return { ...line, time: new Date().toISOString() };
}
