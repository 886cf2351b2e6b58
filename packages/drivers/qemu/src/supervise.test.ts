import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeExit, runProgram, supervise, terminate, within } from './supervise.ts';

test('a missing program is told as such', async () => {
  await assert.rejects(supervise('sylph-no-such-program', []), {
    code: 'host_unfit',
    message: /sylph-no-such-program: ENOENT/,
  });
});

test('the exit tells code or signal, and the error output its last lines without control characters', async () => {
  const program = await supervise('/bin/sh', ['-c', 'printf "a\\033[1mb\\n\\ncd\\n" >&2; exit 3']);
  assert.equal(describeExit(await program.exited), 'exit code 3');
  assert.equal(program.stderrTail(), 'a [1mb | cd');
});

test('of endless error output only the tail is kept', async () => {
  const program = await supervise('/bin/sh', [
    '-c',
    'head -c 3000000 /dev/zero | tr "\\0" x >&2; echo >&2; echo last >&2',
  ]);
  await program.exited;
  assert.ok(program.stderrTail().length < 10_000);
  assert.ok(program.stderrTail().endsWith('last'));
});

test('a program that ignores TERM is killed, and waited for', async () => {
  const program = await supervise('/bin/sh', ['-c', 'trap "" TERM; echo ready; while :; do sleep 0.1; done'], {
    stdout: 'pipe',
  });
  await new Promise((resolve) => program.child.stdout?.once('data', resolve));
  await terminate(program);
  assert.equal((await program.exited).signal, 'SIGKILL');
});

test('runProgram returns output, and fails with the error output or at the deadline', async () => {
  assert.equal(await runProgram('cat', [], { input: 'hello', deadlineMs: 5_000 }), 'hello');
  await assert.rejects(runProgram('/bin/sh', ['-c', 'echo bad luck >&2; exit 1'], { deadlineMs: 5_000 }), {
    message: '/bin/sh: exit code 1: bad luck',
  });
  await assert.rejects(runProgram('sleep', ['60'], { deadlineMs: 50 }), { code: 'timeout' });
});

test('nothing of our environment is passed on but PATH', async () => {
  assert.equal(await runProgram('/usr/bin/env', ['-u', 'PATH', '/usr/bin/env'], { deadlineMs: 5_000 }), 'LC_ALL=C\n');
});

test('within gives up on time', async () => {
  assert.equal(await within(new Promise(() => {}), 10), undefined);
  assert.equal(await within(Promise.resolve(1), 10_000), 1);
});
