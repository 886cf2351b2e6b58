import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DetachKey } from './detach-key.ts';

const read = (...inputs: string[]): { passed: string; pressed: boolean } => {
  const key = new DetachKey();
  let passed = '';
  for (const input of inputs) {
    const result = key.read(Buffer.from(input, 'latin1'));
    passed += Buffer.from(result.pass).toString('latin1');
    if (result.pressed) return { passed, pressed: true };
  }
  return { passed, pressed: false };
};

test('the key, as terminals send it', () => {
  for (const key of [
    '\x1c',
    '\x1b[92;5u',
    '\x1b[92;5:1u',
    '\x1b[92::92;5u',
    '\x1b[92;69u',
    '\x1b[92;133u',
    '\x1b[27;5;92~',
  ]) {
    assert.deepEqual(read(`ls${key}more`), { passed: 'ls', pressed: true }, JSON.stringify(key));
  }
});

test('other keys, releases, and a plain backslash are passed on', () => {
  for (const key of ['\\', '\x03', '\x1b[92;1u', '\x1b[92;6u', '\x1b[92;5:3u', '\x1b[27;5;91~', '\x1b[A', '\x1b']) {
    assert.deepEqual(read(key), { passed: key, pressed: false }, JSON.stringify(key));
  }
});

test('in a paste it is text, also when the paste comes in pieces', () => {
  assert.deepEqual(read('\x1b[200~a\x1cb\x1b[201~'), { passed: '\x1b[200~a\x1cb\x1b[201~', pressed: false });
  assert.deepEqual(read('\x1b[200~a', '\x1c', 'b\x1b[201~c'), { passed: '\x1b[200~a\x1cb\x1b[201~c', pressed: false });
  assert.deepEqual(read('\x1b[200~a\x1b[201~\x1c'), { passed: '\x1b[200~a\x1b[201~', pressed: true });
});
