import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cleanText } from './clean-text.ts';

test('nothing that moves a cursor or begins a line is left', () => {
  assert.equal(cleanText('\u001b[2Jgone\r\nfake: line\u2028x\u202Ey\0'), '[2Jgone fake: line x y');
  assert.equal(cleanText('plain: text – ünïcode'), 'plain: text – ünïcode');
});

test('long texts are cut', () => {
  assert.equal(cleanText('a'.repeat(300)).length, 256);
  assert.equal(cleanText('abcdef', 4), 'abc…');
});
