import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestFileError } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import fc from 'fast-check';
import { ControlAndDataChannels } from '../factory.ts';
import { FakeGuest } from '../testing/fake-guest.ts';

/** Header values a guest may send: plausible, and anything else HTTP/2 carries. */
const headerValue = fc.oneof(
  fc.constantFrom('0', '5', '0644', '-1', '99999999999999999999', '1e3', ''),
  fc.stringMatching(/^[ -~]{0,30}$/),
);

/** Bodies: near to what is expected, and anything else. */
const body = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  fc.json().map((text) => Buffer.from(`${text}\n`)),
  fc
    .record(
      {
        name: fc.string(),
        path: fc.string(),
        type: fc.constantFrom('file', 'directory', 'event', 'subscribed', 'overflow', 'none'),
        size: fc.oneof(fc.integer(), fc.double()),
        mode: fc.constantFrom('0644', '9', ''),
        modTime: fc.string(),
        isDir: fc.boolean(),
        error: fc.string(),
        code: fc.string(),
        event: fc.constantFrom('write', 'x'),
        timestamp: fc.string(),
        count: fc.integer(),
        sizeBytes: fc.integer(),
      },
      { requiredKeys: [] },
    )
    .map((value) => Buffer.from(`${JSON.stringify(value)}\n`)),
);

test('whatever a guest answers about files, calls end with an answer that fits or an error', async () => {
  let answer: { status: number; headers: Record<string, string>; parts: Buffer[]; reset: boolean } | undefined;
  await using guest = await FakeGuest.start({
    stream: (stream) => {
      if (answer === undefined) return;
      stream.respond({ ':status': answer.status, ...answer.headers }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': '1' }));
      for (const part of answer.parts) stream.write(part);
      if (answer.reset) stream.close(2);
      else stream.end();
    },
  });
  await using channel = await new ControlAndDataChannels().connect(guest.sockets, {
    deadlineMs: 5000,
    signal: new AbortController().signal,
  });
  await channel.open({ deadlineMs: 5000 });
  const target = { path: '/x', user: 'sprite' };
  const { signal } = new AbortController();
  const { files } = channel;
  const empty = async function* (): AsyncGenerator<Uint8Array> {};
  const calls: (() => Promise<unknown>)[] = [
    async () => Array.fromAsync((await files.read(target, undefined, { signal })).bytes),
    async () => Array.fromAsync(await files.list(target, { signal, recursive: true, pattern: undefined })),
    async () => Array.fromAsync(await files.watch(['/x'], { signal, recursive: true, user: 'sprite' })),
    async () => Array.fromAsync((await files.archive(target, { signal })).bytes),
    () => files.write(target, empty(), { signal, mode: undefined, parents: false, lengthBytes: undefined }),
    () => files.remove(target, { signal, recursive: true }),
    () => files.uploadSize(target, 'u', { signal }),
  ];
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        status: fc.constantFrom(200, 200, 200, 204, 302, 404, 416, 507, 599),
        headers: fc.record(
          {
            'x-file-size': headerValue,
            'x-file-mode': headerValue,
            'x-file-mtime': headerValue,
            'x-content-offset': headerValue,
            'x-archive-entries': headerValue,
            'x-archive-bytes': headerValue,
          },
          { requiredKeys: [] },
        ),
        parts: fc.array(body, { maxLength: 5 }),
        reset: fc.boolean(),
      }),
      fc.nat(calls.length - 1),
      async (said, which) => {
        answer = said;
        try {
          await calls[which]?.();
        } catch (error) {
          assert.ok(
            error instanceof GuestFileError || (error instanceof SylphError && error.code === 'agent_failed'),
            String(error),
          );
        }
      },
    ),
    { numRuns: 400 },
  );
  answer = { status: 200, headers: {}, parts: [Buffer.from('{"sizeBytes":7}')], reset: false };
  assert.equal(await files.uploadSize(target, 'u', { signal }), 7);
});
