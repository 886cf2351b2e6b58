import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SpriteView } from '@sylph/engine';
import { sessionRequest, takeVariable, type Wanted, type Wishes } from './command.ts';
import type { SshDeps } from './deps.ts';
import { exitOf } from './exit.ts';
import { TokenFailures } from './token-failures.ts';

const deps = {
  commandBase: () => ({ env: { SHELL: '/usr/bin/fish', PATH: '/bin' }, dir: '/home/sprite', user: 'sprite' }),
  sftpServer: '/x/sftp-server',
} as unknown as SshDeps;

const request = (wanted: Wanted, wishes: Wishes = { env: {}, tty: null }) =>
  sessionRequest(wanted, wishes, { view: undefined as unknown as SpriteView, more: { SSH_CLIENT: 'x' }, deps });

test("the sprite's shell is what runs: as a login shell, or with a line to read", () => {
  assert.deepEqual(request({ kind: 'shell' }).argv, ['-fish']);
  assert.equal(request({ kind: 'shell' }).path, '/usr/bin/fish');
  assert.deepEqual(request({ kind: 'exec', line: 'a | b' }).argv, ['/usr/bin/fish', '-c', 'a | b']);
  assert.equal(request({ kind: 'sftp' }).path, '/x/sftp-server');
});

test('a terminal is journalled and has its name; other output is for its client alone', () => {
  const shell = request({ kind: 'shell' }, { env: { LANG: 'de' }, tty: { cols: 90, rows: 20, term: 'vt100' } });
  assert.deepEqual(shell.tty, { cols: 90, rows: 20 });
  assert.equal(shell.transient, false);
  assert.deepEqual(shell.env, { SHELL: '/usr/bin/fish', PATH: '/bin', TERM: 'vt100', LANG: 'de', SSH_CLIENT: 'x' });
  assert.equal(request({ kind: 'exec', line: '' }).transient, true);
});

test('variables that change what programs do are left out, and so is what is too much', () => {
  const wishes: Wishes = { env: {}, tty: null };
  for (const name of ['LD_PRELOAD', 'PATH', 'HOME', 'BASH_ENV', 'LC_', 'lc_all', 'SSH_CLIENT', ''])
    assert.equal(takeVariable(wishes, name, 'x'), false, name);
  assert.equal(takeVariable(wishes, 'LC_ALL', 'x'.repeat(2_000)), false);
  assert.equal(takeVariable(wishes, 'LC_ALL', 'a\0b'), false);
  for (let i = 0; i < 100; i += 1) takeVariable(wishes, `LC_${'A'.repeat(i + 1)}`, 'x');
  assert.equal(Object.keys(wishes.env).length, 32);
});

test("an end is told in the protocol's words, and none is made up", () => {
  const at = new Date().toISOString();
  assert.equal(exitOf({ how: 'exited', code: 3, signal: null, at }).status, 3);
  assert.equal(exitOf({ how: 'exited', code: 143, signal: 'TERM', at }).status, 'TERM');
  assert.equal(exitOf({ how: 'exited', code: 159, signal: 'SYS', at }).status, 159, 'one it has no name for');
  assert.equal(exitOf({ how: 'not-started', code: 127, reason: 'x', at }).status, 127);
  const lost = exitOf({ how: 'lost', reason: 'the VM died', at });
  assert.equal(lost.status, undefined);
  assert.match(lost.message ?? '', /the VM died/);
});

test('wrong tokens are counted by address', () => {
  const failures = new TokenFailures(2);
  failures.add('a');
  assert.equal(failures.tooMany('a'), false);
  failures.add('a');
  assert.equal(failures.tooMany('a'), true);
  assert.equal(failures.tooMany('b'), false);
});
