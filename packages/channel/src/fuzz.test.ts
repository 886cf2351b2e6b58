import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ControlAndDataChannels } from './factory.ts';
import { FakeGuest } from './testing/fake-guest.ts';

/** An HTTP/2 frame with a plausible header and any payload. */
const http2Frame = fc
  .record({
    type: fc.integer({ min: 0, max: 12 }),
    flags: fc.integer({ min: 0, max: 255 }),
    stream: fc.constantFrom(0, 1, 3, 2 ** 31 - 1),
    payload: fc.uint8Array({ maxLength: 200 }),
  })
  .map(({ type, flags, stream, payload }) => {
    const header = Buffer.alloc(9);
    header.writeUIntBE(payload.length, 0, 3);
    header[3] = type;
    header[4] = flags;
    header.writeUInt32BE(stream, 5);
    return Buffer.concat([header, payload]);
  });

const settings = Buffer.from('000000040000000000', 'hex');

test('whatever a guest says on its data port, calls end with an error and the daemon lives', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(
          http2Frame,
          fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
        ),
        { minLength: 1, maxLength: 15 },
      ),
      fc.boolean(),
      async (parts, polite) => {
        await using guest = await FakeGuest.start({
          rawData: (socket) => {
            if (polite) socket.write(settings);
            for (const part of parts) socket.write(part);
          },
        });
        await using channel = await new ControlAndDataChannels().connect(guest.sockets, {
          deadlineMs: 5000,
          signal: new AbortController().signal,
        });
        await assert.rejects(
          channel.open({ deadlineMs: 5000 }).then(() => channel.ping({ deadlineMs: 60 })),
          { code: 'agent_failed' },
        );
      },
    ),
    { numRuns: 60 },
  );
});
