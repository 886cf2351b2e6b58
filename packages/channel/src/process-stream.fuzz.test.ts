import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProcessStartError } from '@sylph/engine';
import { encodeFrame, encodeOffsetFrame, frameType, SylphError } from '@sylph/model';
import fc from 'fast-check';
import { hostileAnswer, HostileGuest, mostly, nonsense } from './testing/hostile-guest.ts';

const types = Object.values(frameType);
const inJson = (type: number) => (value: unknown) => encodeFrame(type, Buffer.from(JSON.stringify(value)));
const offset = fc.oneof(fc.nat(20), fc.maxSafeNat());

const frame = fc.oneof(
  fc
    .record({
      pid: mostly(fc.nat()),
      path: mostly(fc.string()),
      inputOffset: mostly(fc.nat()),
      outputOffset: mostly(fc.nat()),
    })
    .map(inJson(frameType.started)),
  fc
    .record({ code: mostly(fc.nat(300)), signal: mostly(fc.option(fc.string())), outputOffset: mostly(fc.nat(20)) })
    .map(inJson(frameType.exit)),
  fc.record({ error: mostly(fc.string()), code: mostly(fc.string()) }).map(inJson(frameType.failed)),
  fc
    .tuple(fc.constantFrom(frameType.stdout, frameType.stderr), offset, fc.uint8Array({ maxLength: 20 }))
    .map(([type, at, bytes]) => encodeOffsetFrame(type, at, bytes)),
  offset.map((at) => encodeOffsetFrame(frameType.stdinAck, at)),
  fc
    .tuple(fc.oneof(fc.constantFrom(...types), fc.nat(255)), fc.uint8Array({ maxLength: 40 }))
    .map(([type, payload]) => encodeFrame(type, payload)),
);
const good = encodeFrame(
  frameType.started,
  Buffer.from(JSON.stringify({ pid: 7, path: '/bin/true', inputOffset: 0, outputOffset: 0 })),
);

test('whatever a guest says of a process: output without gaps, an exit at its end, or a failure', async () => {
  await using guest = await HostileGuest.start();
  await fc.assert(
    fc.asyncProperty(
      hostileAnswer(fc.oneof({ weight: 5, arbitrary: frame }, nonsense)),
      fc.boolean(),
      fc.nat(20),
      async (said, begins, from) => {
        guest.said = begins ? { ...said, parts: [good, ...said.parts] } : said;
        const stream = guest.channel.attachProcess('5', from);
        let at = from;
        let ended = false;
        const failures: unknown[] = [];
        try {
          for await (const event of stream.events) {
            assert.equal(ended, false, 'nothing follows an exit');
            if (event.type === 'output') {
              assert.equal(event.offset, at);
              at += event.bytes.length;
            } else if (event.type === 'exit') {
              assert.equal(event.exit.outputOffset, at);
              ended = true;
            } else assert.ok(Number.isSafeInteger(event.offset));
          }
          assert.ok(ended, 'an end without an exit is a failure');
        } catch (error) {
          failures.push(error);
        }
        await stream.started.catch((error: unknown) => failures.push(error));
        for (const error of failures)
          assert.ok(
            error instanceof ProcessStartError || (error instanceof SylphError && error.code !== 'internal'),
            String(error),
          );
      },
    ),
    { numRuns: 500 },
  );
});
