import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { InputLog } from './input-log.ts';

test('what the server misses is sent again, exactly', () => {
  const writes = fc.array(fc.nat({ max: 400_000 }), { maxLength: 12 });
  fc.assert(
    fc.property(
      writes,
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (sizes, confirmedShare, acceptedShare) => {
        const log = new InputLog();
        let all = Buffer.alloc(0);
        for (const size of sizes) {
          const bytes = Buffer.alloc(size, all.length % 251);
          log.sent(bytes);
          all = Buffer.concat([all, bytes]);
        }
        const confirmed = Math.floor(all.length * confirmedShare);
        log.confirm(confirmed);
        // A server that crashed may have lost a little of what it had confirmed.
        const least = Math.max(0, confirmed - 2 ** 20);
        const accepted = least + Math.floor((all.length - least) * acceptedShare);
        const fate = log.fate(accepted);
        assert.ok(fate.known);
        assert.ok(Buffer.concat(fate.resend).equals(all.subarray(accepted)));
        assert.equal(log.fate(undefined).known, confirmed === all.length);
        assert.equal(log.fate(all.length + 1).known, false);
      },
    ),
    { numRuns: 50 },
  );
});
