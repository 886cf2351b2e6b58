import type { KillLine, Session } from '@sylph/model';
import { ClientError } from './errors.ts';
import { isObject } from './json.ts';
import { segment, type Http } from './http.ts';
import { unexpected, type CallOptions } from './sprites.ts';

/** Running sessions of a sprite. */
export class Sessions {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  async list(sprite: string, options: CallOptions = {}): Promise<Session[]> {
    const answer = await this.#http.json(`/v1/sprites/${segment(sprite)}/exec`, options);
    if (!isObject(answer) || !Array.isArray(answer['sessions'])) throw unexpected('a list of sessions');
    return answer['sessions'] as Session[];
  }

  /** Sends a signal and, after `timeoutMs`, SIGKILL. Yields what the server tells. */
  async *killStream(
    sprite: string,
    id: string,
    options: { signalName?: string | undefined; timeoutMs?: number | undefined } & CallOptions = {},
  ): AsyncGenerator<KillLine, void, undefined> {
    const query = {
      signal: options.signalName,
      timeout: options.timeoutMs === undefined ? undefined : `${options.timeoutMs}ms`,
    };
    for await (const line of this.#http.lines(`/v1/sprites/${segment(sprite)}/exec/${segment(id)}/kill`, {
      method: 'POST',
      query,
      signal: options.signal,
    })) {
      yield line as unknown as KillLine;
    }
  }

  /** Kills and waits; the exit code where the server told one. A session that had ended before is a success. */
  async kill(
    sprite: string,
    id: string,
    options: { signalName?: string | undefined; timeoutMs?: number | undefined } & CallOptions = {},
  ): Promise<{ exitCode: number | undefined; alreadyExited: boolean }> {
    let exitCode: number | undefined;
    try {
      for await (const line of this.killStream(sprite, id, options)) {
        if (line.type === 'error')
          throw new ClientError('internal', line.message ?? 'the server failed without a reason');
        if (line.type === 'complete') exitCode = line.exit_code;
      }
    } catch (thrown) {
      if (thrown instanceof ClientError && thrown.status === 410) return { exitCode: undefined, alreadyExited: true };
      throw thrown;
    }
    return { exitCode, alreadyExited: false };
  }
}
