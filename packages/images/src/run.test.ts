import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { run } from './run.ts';
import { runContained } from './sandbox.ts';

const timeoutMs = 20_000;

describe('run', () => {
  it('returns what the program prints', async () => {
    assert.equal((await run('printf', ['%s', 'text'], { collect: true, timeoutMs })).toString(), 'text');
  });

  it('reports lines and drawn progress as they come, without control characters', async () => {
    const lines: string[] = [];
    await run('printf', ['10%%\\r20%%\\r\\none\\033[1m\\n\\n'], { onLine: (line) => lines.push(line), timeoutMs });
    assert.deepEqual(lines, ['10%', '20%', 'one[1m']);
  });

  it('fails with the last lines of a program that fails', async () => {
    await assert.rejects(run('sh', ['-c', 'echo first; echo reason >&2; exit 3'], { timeoutMs }), (error: Error) => {
      assert.match(error.message, /sh failed \(exit 3\)/);
      assert.match(error.message, /reason/);
      return true;
    });
  });

  it('says what to do about a missing program', async () => {
    await assert.rejects(run('no-such-program-here', [], { timeoutMs }), { code: 'host_unfit' });
  });

  it('ends a program at its deadline', async () => {
    await assert.rejects(run('sleep', ['60'], { timeoutMs: 100 }), { code: 'timeout' });
  });

  it('ends a program when aborted, with the reason of the signal', async () => {
    const abort = new AbortController();
    const running = run('sleep', ['60'], { timeoutMs, signal: abort.signal });
    abort.abort(new Error('enough'));
    await assert.rejects(running, /enough/);
  });
});

describe('runContained', () => {
  it('takes mounts and daemons of the program away with it', async () => {
    const script =
      'mount -t tmpfs sylph-test /mnt && (setsid sleep 61.25 >/dev/null 2>&1 &) ; grep -c sylph-test /proc/mounts';
    const seen = await runContained('sh', ['-c', script], { collect: true, timeoutMs });
    assert.equal(seen.toString().trim(), '1');
    await assert.rejects(run('grep', ['sylph-test', '/proc/mounts'], { timeoutMs }));
    await assert.rejects(run('pgrep', ['-f', '^sleep 61[.]25$'], { timeoutMs }));
  });
});
