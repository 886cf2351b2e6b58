import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { describeProcess, findProcess, writeHandle } from './handle.ts';
import { processFacts } from './procfs.ts';
import { type Supervised, signalPid, supervise, terminate } from './supervise.ts';

const facts = { ramMib: 512, group: 'sprite-1' };
const isSleep = (exe: string): boolean => /sleep|coreutils|busybox/.test(path.basename(exe));

/** A working directory with a process in it that stands for a hypervisor. */
async function setUp(context: TestContext): Promise<{ dir: string; program: Supervised }> {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'sylph-handle-'));
  fs.mkdirSync(path.join(dir, 'run'));
  const program = await supervise('sleep', ['60'], { cwd: dir });
  context.after(async () => {
    await terminate(program);
    fs.rmSync(dir, { recursive: true });
  });
  return { dir, program };
}

test('a process is found by its handle', async (context) => {
  const { dir, program } = await setUp(context);
  const handle = describeProcess(program.pid, facts);
  assert.ok(handle);
  writeHandle(dir, handle);
  assert.deepEqual(findProcess(dir, isSleep), { handle, pid: program.pid, startTime: handle.startTime });
});

test('without a handle that can be read it is found by its directory', async (context) => {
  const { dir, program } = await setUp(context);
  const found = { handle: undefined, pid: program.pid, startTime: processFacts(program.pid)?.startTime };
  const file = path.join(dir, 'run/vm.json');
  for (const content of [undefined, '', '{"version":2}', '{"version":1,"pid":1}', 'x'.repeat(1 << 20)]) {
    fs.rmSync(file, { force: true });
    if (content !== undefined) fs.writeFileSync(file, content);
    assert.deepEqual(findProcess(dir, isSleep), found, content ?? 'no file');
  }
  fs.rmSync(file);
  fs.symlinkSync('/proc/self/environ', file);
  assert.deepEqual(findProcess(dir, isSleep), found, 'a link is not followed');
});

test('a handle that names somebody else is not believed', async (context) => {
  const { dir, program } = await setUp(context);
  const other = await supervise('sleep', ['60']);
  context.after(async () => {
    await terminate(other);
  });
  const foreign = describeProcess(other.pid, facts);
  const own = describeProcess(program.pid, facts);
  assert.ok(foreign && own);
  for (const handle of [foreign, { ...own, startTime: '1' }, { ...own, exe: '/bin/true' }]) {
    writeHandle(dir, handle);
    assert.equal(findProcess(dir, isSleep)?.pid, program.pid);
    assert.equal(findProcess(dir, isSleep)?.handle, undefined);
  }
});

test('no process, no directory: nothing', async (context) => {
  const { dir, program } = await setUp(context);
  assert.equal(
    findProcess(dir, () => false),
    undefined,
  );
  const handle = describeProcess(program.pid, facts);
  assert.ok(handle);
  writeHandle(dir, handle);
  signalPid(program.pid, 9);
  await program.exited;
  assert.equal(findProcess(dir, isSleep), undefined);
  assert.equal(findProcess(path.join(dir, 'gone'), isSleep), undefined);
});
