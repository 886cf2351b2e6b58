import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, it } from 'node:test';
import { execClientMessage, type ExecServerMessage } from '@sylph/model';
import fc from 'fast-check';
import type { WebSocket } from 'ws';
import { passInput } from './exec-input.ts';
import { FakeSession } from './testing/fake-session.ts';

/** What passes for a socket: remembers what is done to it. */
class FakeSocket extends EventEmitter {
  readonly closes: { code: number; reason: string }[] = [];
  paused = false;

  close(code: number, reason: string): void {
    this.closes.push({ code, reason });
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }
}

/** Text of any kind, with what clients send, and what comes near to it, more often than chance would. */
const text = fc.oneof(
  fc.string(),
  fc.json(),
  fc
    .record(
      {
        type: fc.oneof(fc.constantFrom('resize', 'signal', 'attach'), fc.jsonValue()),
        cols: fc.oneof(fc.integer(), fc.nat(70_000), fc.jsonValue()),
        rows: fc.oneof(fc.integer(), fc.nat(70_000), fc.jsonValue()),
        signal: fc.oneof(fc.constantFrom('TERM', 'sigkill', 'INT', 'SIGNOTHING'), fc.jsonValue()),
      },
      { requiredKeys: [] },
    )
    .map((value) => JSON.stringify(value)),
);
const binary = fc.oneof(
  fc.uint8Array({ maxLength: 64 }),
  fc
    .tuple(fc.constantFrom(0, 4, 5), fc.uint8Array({ maxLength: 64 }))
    .map(([first, rest]) => Uint8Array.of(first, ...rest)),
);
const message = fc.oneof(
  text.map((data) => ({ data: Buffer.from(data), isBinary: false })),
  // Bytes that are no text at all.
  fc.uint8Array({ maxLength: 64 }).map((data) => ({ data: Buffer.from(data), isBinary: false })),
  binary.map((data) => ({ data: Buffer.from(data), isBinary: true })),
);

/** What the document promises for a message: input, a fault that closes, an error that is told, or nothing. */
function promised(
  { data, isBinary }: { data: Buffer; isBinary: boolean },
  tty: boolean,
): { input?: string; closes?: true; tells?: true } {
  if (isBinary) {
    if (tty) return data.length === 0 ? {} : { input: data.toString() };
    if (data[0] === 0) return data.length === 1 ? {} : { input: data.subarray(1).toString() };
    if (data[0] === 4) return { input: '<eof>' };
    return data[0] === 5 ? {} : { closes: true };
  }
  let value: unknown;
  try {
    value = JSON.parse(data.toString());
  } catch {
    return { closes: true };
  }
  if (typeof value !== 'object' || value === null) return { closes: true };
  const parsed = execClientMessage.safeParse(value);
  if (parsed.success)
    return {
      input: parsed.data.type === 'signal' ? `<${parsed.data.signal}>` : `<${parsed.data.cols}x${parsed.data.rows}>`,
    };
  const { type } = value as { type?: unknown };
  return type === 'resize' || type === 'signal' ? { tells: true } : {};
}

describe('messages of a client of exec', () => {
  it('of any kind have the effect that is promised, and no other', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(message, { maxLength: 30 }), fc.boolean(), async (messages, tty) => {
        const session = new FakeSession('1', {
          argv: ['cat'],
          path: 'cat',
          env: {},
          dir: '/',
          user: 'sprite',
          tty: tty ? { cols: 80, rows: 24 } : null,
          stdin: true,
          maxRunAfterDisconnectMs: null,
        });
        const socket = new FakeSocket();
        const told: ExecServerMessage[] = [];
        passInput({
          socket: socket as unknown as WebSocket,
          session,
          stdin: true,
          limits: { maxUnwrittenBytes: 1_000 },
          tell: async (said) => void told.push(said),
          wake: () => {},
        });
        for (const { data, isBinary } of messages) {
          socket.emit('message', data, isBinary);
          // Signals are passed on behind one another.
          await new Promise((resolve) => setImmediate(resolve));
        }
        const promises = messages.map((each) => promised(each, tty));
        // A terminal takes the size of who types: a second effect of input.
        const sizes = (received: string[]): string[] =>
          tty ? received.filter((each) => !/^<\d+x\d+>$/.test(each)) : received;
        assert.deepEqual(sizes(session.received), sizes(promises.flatMap(({ input }) => input ?? [])));
        assert.equal(socket.closes.length, promises.filter(({ closes }) => closes).length);
        for (const { code, reason } of socket.closes) {
          assert.equal(code, 1003);
          assert.ok(reason.length > 0 && Buffer.byteLength(reason) <= 123);
        }
        assert.equal(told.length, promises.filter(({ tells }) => tells).length);
        for (const each of told) assert.ok(each.type === 'error' && each.code === 'invalid_request' && each.message);
        assert.equal(socket.paused, false, 'it reads on');
      }),
      { numRuns: 500 },
    );
  });

  it('are no longer read while too much is pending, and most of many signals wait', async () => {
    const session = new FakeSession('1', {
      argv: ['sleep'],
      path: 'sleep',
      env: {},
      dir: '/',
      user: 'sprite',
      tty: null,
      stdin: true,
      maxRunAfterDisconnectMs: null,
    });
    const gate = Promise.withResolvers<void>();
    session.signal = async (name) => {
      session.received.push(`<${name}>`);
      await gate.promise;
    };
    const socket = new FakeSocket();
    passInput({
      socket: socket as unknown as WebSocket,
      session,
      stdin: true,
      limits: { maxUnwrittenBytes: 1_000 },
      tell: async () => {},
      wake: () => {},
    });
    const names = Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? 'USR1' : 'USR2'));
    for (const signal of names) socket.emit('message', Buffer.from(JSON.stringify({ type: 'signal', signal })), false);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([socket.paused, session.received.length], [true, 16]);
    gate.resolve();
    while (socket.paused || session.received.length < names.length)
      await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(
      session.received,
      names.map((name) => `<${name}>`),
    );
  });
});
