import type { Checkpoint, StreamLine } from '@sylph/model';
import { ClientError, type ClientErrorCode } from './errors.ts';
import { isObject } from './json.ts';
import { segment, type Http } from './http.ts';
import { unexpected, type CallOptions } from './sprites.ts';
import { gather } from './streams.ts';

/** Options of what is told line by line. */
export interface ProgressOptions extends CallOptions {
  /** Whether the server's error is thrown, default, or yielded as the last line. */
  throwErrors?: boolean | undefined;
}

/** Checkpoints of a sprite. */
export class Checkpoints {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** Makes one. Yields what the server tells, `complete` last; throws the server's error instead of yielding it, unless told otherwise. */
  create(
    sprite: string,
    options: { comment?: string | undefined } & ProgressOptions = {},
  ): AsyncGenerator<StreamLine, void, undefined> {
    const body = options.comment === undefined ? {} : { comment: options.comment };
    return this.#stream(`${base(sprite)}/checkpoint`, body, options);
  }

  /** Makes one and waits; its id. */
  async createAndWait(
    sprite: string,
    options: { comment?: string | undefined } & CallOptions = {},
  ): Promise<{ id: string; lines: StreamLine[] }> {
    const lines = await gather(this.create(sprite, options));
    const id = createdId(lines);
    if (id === undefined) throw unexpected('the id of a checkpoint');
    return { id, lines };
  }

  /** Goes back to one. `memory` (default): processes are where they were; `disk`: boots afresh. */
  restore(
    sprite: string,
    id: string,
    options: { mode?: 'memory' | 'disk' | undefined } & ProgressOptions = {},
  ): AsyncGenerator<StreamLine, void, undefined> {
    return this.#stream(
      `${base(sprite)}/checkpoints/${segment(id)}/restore`,
      options.mode === undefined ? {} : { mode: options.mode },
      options,
    );
  }

  async restoreAndWait(
    sprite: string,
    id: string,
    options: { mode?: 'memory' | 'disk' | undefined } & CallOptions = {},
  ): Promise<{ lines: StreamLine[] }> {
    return { lines: await gather(this.restore(sprite, id, options)) };
  }

  /** Newest first; the present is the entry `Current`. `history`: only that one and what descends from it. */
  async list(
    sprite: string,
    options: { includeAuto?: boolean | undefined; history?: string | undefined } & CallOptions = {},
  ): Promise<Checkpoint[]> {
    const query = { includeAuto: options.includeAuto === true ? 'true' : undefined, history: options.history };
    const answer = await this.#http.json(`${base(sprite)}/checkpoints`, { query, signal: options.signal });
    if (!Array.isArray(answer)) throw unexpected('a list of checkpoints');
    return answer as Checkpoint[];
  }

  async get(sprite: string, id: string, options: CallOptions = {}): Promise<Checkpoint> {
    const answer = await this.#http.json(`${base(sprite)}/checkpoints/${segment(id)}`, options);
    if (!isObject(answer) || typeof answer['id'] !== 'string') throw unexpected('a checkpoint');
    return answer as unknown as Checkpoint;
  }

  async delete(sprite: string, id: string, options: CallOptions = {}): Promise<void> {
    await this.#http.text(`${base(sprite)}/checkpoints/${segment(id)}`, { method: 'DELETE', ...options });
  }

  async *#stream(
    path: string,
    body: unknown,
    { signal, throwErrors = true }: ProgressOptions,
  ): AsyncGenerator<StreamLine, void, undefined> {
    let complete = false;
    for await (const line of this.#http.lines(path, {
      method: 'POST',
      body,
      headers: { accept: 'application/x-ndjson' },
      signal,
    })) {
      if (line['type'] === 'error' && throwErrors) throw lineError(line);
      complete = line['type'] === 'complete' || line['type'] === 'error';
      yield line as unknown as StreamLine;
    }
    if (!complete) {
      throw new ClientError('connection_lost', 'the server stopped telling before the work was complete', {
        hint: 'list the checkpoints to see what came of it',
      });
    }
  }
}

/** The new id in the lines of a create stream: the protocol says it only in their text. */
export function createdId(lines: readonly StreamLine[]): string | undefined {
  for (const line of lines.toReversed()) {
    const id = /(?:^|\n)\s*ID: (\S+)|^Checkpoint (\S+) created/.exec(line.data ?? '');
    if (id !== null) return id[1] ?? id[2];
  }
  return undefined;
}

function lineError(line: Record<string, unknown>): ClientError {
  const text = [line['error'], line['data']].find((part): part is string => typeof part === 'string' && part !== '');
  const code = typeof line['code'] === 'string' ? (line['code'] as ClientErrorCode) : 'internal';
  return new ClientError(code, text ?? 'the server failed without a reason', {
    hint: typeof line['hint'] === 'string' ? line['hint'] : undefined,
  });
}

function base(sprite: string): string {
  return `/v1/sprites/${segment(sprite)}`;
}
