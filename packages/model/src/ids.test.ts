import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type * as z from 'zod';
import {
  checkpointId,
  digest,
  imageName,
  label,
  maxNameLength,
  orgSlug,
  sessionId,
  spriteId,
  spriteName,
} from './ids.ts';

/** What each accepts and refuses. Texts that become paths and DNS names must hold nothing else. */
const cases: Record<string, { schema: z.ZodType<string>; good: string[]; bad: string[] }> = {
  spriteName: {
    schema: spriteName,
    good: ['a', '0', 'my-sprite', 'a--b', 'x'.repeat(maxNameLength)],
    bad: ['', '-a', 'a-', 'A', 'a_b', 'a.b', 'ä', 'a b', 'a\n', '../a', 'x'.repeat(maxNameLength + 1)],
  },
  spriteId: {
    schema: spriteId,
    good: ['sprite-01234567-89ab-cdef-0123-456789abcdef'],
    bad: [
      '',
      'sprite-',
      '01234567-89ab-cdef-0123-456789abcdef',
      'sprite-01234567-89AB-cdef-0123-456789abcdef',
      'sprite-01234567-89ab-cdef-0123-456789abcdef/..',
      'sprite-01234567-89ab-cdef-0123-456789abcdef\n',
    ],
  },
  checkpointId: {
    schema: checkpointId,
    good: ['v0', 'v1', 'v999999999', 'auto-20260131-122024-ab12'],
    bad: [
      '',
      'v',
      'v01',
      'v-1',
      'v1000000000',
      'V1',
      'v1/..',
      '..',
      'Current',
      'auto-',
      'auto-2026-122024-ab12',
      'auto-20260131-122024-AB12',
      'v1\n',
    ],
  },
  sessionId: {
    schema: sessionId,
    good: ['1', '42', '9999999999'],
    bad: ['', '0', '01', '-1', '1.0', '1e3', '10000000000', '../1', '1\n'],
  },
  orgSlug: {
    schema: orgSlug,
    good: ['a', 'acme', 'a-1', 'x'.repeat(40)],
    bad: ['', '-a', 'a-', 'A', 'a.b', 'a/b', 'x'.repeat(41)],
  },
  digest: {
    schema: digest,
    good: ['0'.repeat(16), 'f'.repeat(64)],
    bad: ['', '0'.repeat(15), 'f'.repeat(65), 'g'.repeat(16), 'F'.repeat(16), `${'0'.repeat(16)}/`],
  },
  imageName: {
    schema: imageName,
    good: ['minimal', 'dev', 'debian-13.1', 'a_b'],
    bad: ['', '.hidden', '..', 'a.', 'A', 'a/b', 'x'.repeat(41)],
  },
  label: {
    schema: label,
    good: ['a', 'a b', 'ü ☃', 'x'.repeat(128)],
    bad: ['', 'a\nb', 'a\0', '\u001b[31m', 'x'.repeat(129)],
  },
};

describe('ids and names', () => {
  for (const [what, { schema, good, bad }] of Object.entries(cases)) {
    it(`${what} takes what it should and nothing else`, () => {
      for (const text of good) assert.ok(schema.safeParse(text).success, JSON.stringify(text));
      for (const text of bad) assert.ok(!schema.safeParse(text).success, JSON.stringify(text));
    });
  }

  it('that become paths never leave their place', () => {
    for (const schema of [spriteName, spriteId, checkpointId, sessionId, orgSlug, digest, imageName]) {
      fc.assert(
        fc.property(fc.string({ unit: 'binary' }), (text) => {
          if (schema.safeParse(text).success) assert.match(text, /^[a-z0-9][a-z0-9._-]*$/);
        }),
      );
    }
  });
});
