import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SylphError } from '@sylph/model';
import fc from 'fast-check';
import { parsed, parsePublicKey } from './public-key.ts';

const base = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHbGBhZrBpLyoP9Hl3GLRTUMv5N2dHkfYlNu6Vrbn8bq me';

test('whatever is given for a public key, it is one or a refusal that says why', () => {
  const mutated = fc
    .tuple(fc.nat(base.length), fc.nat(12), fc.string({ maxLength: 12 }))
    .map(([at, cut, fresh]) => base.slice(0, at) + fresh + base.slice(at + cut));
  fc.assert(
    fc.property(
      fc.oneof(
        mutated,
        fc.string(),
        fc.base64String().map((text) => `ssh-rsa ${text}`),
      ),
      (text) => {
        try {
          const key = parsePublicKey(text);
          assert.match(key.fingerprint, /^SHA256:[\w+/]{43}$/);
        } catch (error) {
          assert.ok(error instanceof SylphError, String(error));
          assert.equal(error.code, 'invalid_request');
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

test('whatever a client offers as its key, looking at it does not throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void parsed(Buffer.from(bytes))),
    { numRuns: 2_000 },
  );
});
