import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { ClientError, SylphClient } from '../index.ts';
import { FakeServer } from '../testing/index.ts';
import {
  execFramesType as modelFramesType,
  encodeFrame,
  execFrameType,
  streamByte as modelStreamByte,
} from '@sylph/model';
import { BodyFrames, decodeBodyFrame, execFramesType } from './body-frames.ts';
import { streamByte } from './frames.ts';

let server: FakeServer;
let client: SylphClient;
before(async () => {
  server = await FakeServer.start();
  server.addSprite('one');
  client = new SylphClient({ baseUrl: server.url, token: server.token });
});
after(() => server[Symbol.asyncDispose]());

test('frames come out whole however they are torn', async () => {
  for (const framesBytes of [1, 3, 7, 1000, 100_000]) {
    server.faults.framesBytes = framesBytes;
    const input = framesBytes === 1 ? 'few' : 'x'.repeat(50_000);
    const result = await client.runHttp('one', { cmd: ['sh', '-c', 'cat; echo err >&2; exit 7'], input });
    assert.deepEqual([result.exitCode, result.text, result.errorText], [7, input, 'err\n']);
  }
  await assert.rejects(client.runHttp('one', { cmd: ['sh', '-c', 'exit 99'] }), { code: 'session_lost' });
});

test('frames are those of the model, in any division', () => {
  assert.equal(execFramesType, modelFramesType);
  assert.deepEqual({ ...streamByte, ...execFrameType }, modelStreamByte);
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 300 })),
      fc.integer({ min: 1, max: 400 }),
      (payloads, sizeBytes) => {
        const all = Buffer.concat(payloads.map((payload) => encodeFrame(execFrameType.stdout, payload)));
        const reader = new BodyFrames();
        const seen: Uint8Array[] = [];
        for (let at = 0; at < all.length; at += sizeBytes)
          for (const frame of reader.push(all.subarray(at, at + sizeBytes)))
            seen.push(frame.type === 'output' ? Uint8Array.from(frame.chunk.bytes) : Uint8Array.of(255));
        assert.deepEqual(seen, payloads);
      },
    ),
  );
  assert.throws(() => [...new BodyFrames().push(Uint8Array.of(1, 0, 2, 0, 0))], { code: 'protocol' });
});

test('any frame is read or refused', () => {
  fc.assert(
    fc.property(
      fc.nat(5),
      fc.oneof(
        fc.uint8Array(),
        fc.json().map((text) => Buffer.from(text)),
      ),
      (type, payload) => {
        try {
          decodeBodyFrame(type, payload);
        } catch (thrown) {
          assert.ok(thrown instanceof ClientError);
        }
      },
    ),
  );
});
