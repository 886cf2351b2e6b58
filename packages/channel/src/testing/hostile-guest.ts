import assert from 'node:assert/strict';
import type { GuestChannel } from '@sylph/engine';
import { type ErrorCode, SylphError } from '@sylph/model';
import fc from 'fast-check';
import { ControlAndDataChannels } from '../factory.ts';
import { FakeGuest } from './fake-guest.ts';

/** What a hostile guest answers on a stream. */
export interface HostileAnswer {
  status: number;
  parts: Buffer[];
  /** It resets the stream instead of ending it. */
  reset: boolean;
}

/** Answers of these parts, with any end and mostly a good status. */
export function hostileAnswer(part: fc.Arbitrary<Buffer>): fc.Arbitrary<HostileAnswer> {
  return fc.record({
    status: fc.constantFrom(200, 200, 200, 204, 302, 400, 404, 409, 503, 599),
    parts: fc.array(part, { maxLength: 6 }),
    reset: fc.boolean(),
  });
}

/** Bytes that fit nothing: raw, or any JSON on a line. */
export const nonsense: fc.Arbitrary<Buffer> = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  fc.json().map((text) => Buffer.from(`${text}\n`)),
);

/** Values of every kind in the place of one that fits. */
export function mostly(fitting: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 4, arbitrary: fitting }, fc.jsonValue({ maxDepth: 1 }));
}

/** A guest that answers each stream with what was said last, and a channel to it. */
export class HostileGuest implements AsyncDisposable {
  /** What streams are answered with from now on; undefined: nothing, ever. */
  said: HostileAnswer | undefined;
  #guest: FakeGuest | undefined;
  #channel: GuestChannel | undefined;

  static async start(): Promise<HostileGuest> {
    const hostile = new HostileGuest();
    hostile.#guest = await FakeGuest.start({
      stream: (stream) => {
        const { said } = hostile;
        if (said === undefined) return;
        stream.resume();
        stream.respond({ ':status': said.status });
        for (const part of said.parts) stream.write(part);
        if (said.reset) stream.close(2);
        else stream.end();
      },
    });
    const signal = AbortSignal.timeout(10_000);
    hostile.#channel = await new ControlAndDataChannels().connect(hostile.#guest.sockets, { deadlineMs: 5000, signal });
    await hostile.#channel.open({ deadlineMs: 5000 });
    return hostile;
  }

  get channel(): GuestChannel {
    assert.ok(this.#channel);
    return this.#channel;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#channel?.close();
    await this.#guest?.[Symbol.asyncDispose]();
  }
}

/** Runs what may fail with these codes and no other way; undefined: it failed. */
export async function failingWith<T>(codes: readonly ErrorCode[], act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act();
  } catch (error) {
    assert.ok(error instanceof SylphError && codes.includes(error.code), String(error));
    return undefined;
  }
}
