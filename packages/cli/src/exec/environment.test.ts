import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseEnvironment } from './environment.ts';

const local = { HOME: '/home/me', TERM: 'xterm', EMPTY: '' };

test('pairs, lists of pairs, names', () => {
  assert.deepEqual(parseEnvironment(['A=1'], local), { A: '1' });
  assert.deepEqual(parseEnvironment(['A=1,B=2', 'A=3'], local), { A: '3', B: '2' });
  assert.deepEqual(parseEnvironment(['PATH=/a:/b', 'X=a,b c,d', 'E='], local), { PATH: '/a:/b', X: 'a,b c,d', E: '' });
  assert.deepEqual(parseEnvironment(['TERM,EMPTY'], local), { TERM: 'xterm', EMPTY: '' });
  assert.deepEqual(parseEnvironment(['A=line 1\nline 2'], local), { A: 'line 1\nline 2' });
});

test('nothing is sent that was not asked for, and nonsense is refused', () => {
  assert.deepEqual(parseEnvironment([], local), {});
  for (const text of ['=x', '1A=x', 'A B=x', '', 'MISSING'])
    assert.throws(() => parseEnvironment([text], local), { exitCode: 2 }, text);
});
