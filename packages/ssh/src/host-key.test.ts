import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateKey } from './host-key.ts';
import { utils } from './library.ts';

test('every key that is made can be read', () => {
  for (let count = 0; count < 1_500; count++) assert.ok(!(utils.parseKey(generateKey()) instanceof Error));
});
