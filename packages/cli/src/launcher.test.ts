import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { mainFile } from './testing/run-cli.ts';

const launcher = fileURLToPath(new URL('../../../bin/sylph', import.meta.url));
const run = promisify(execFile);
let dir: string;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sylph launcher-'));
});
after(async () => {
  await rm(dir, { recursive: true, force: true });
});

test("the launcher works from anywhere, also through links, and with the project's own Node", async () => {
  await mkdir(join(dir, 'bin'));
  await symlink(launcher, join(dir, 'bin/direct'));
  await symlink('direct', join(dir, 'bin/relative'));
  await symlink('../bin/relative', join(dir, 'bin/again'));
  for (const path of [launcher, ...['direct', 'relative', 'again'].map((name) => join(dir, 'bin', name))]) {
    const { stdout } = await run(path, ['version', '--json'], { cwd: '/', env: { PATH: '/usr/bin:/bin', HOME: dir } });
    assert.match((JSON.parse(stdout) as { node: string }).node, /^v26\./);
  }
});

test("the daemon's launcher works through links too", async () => {
  await symlink(fileURLToPath(new URL('../../../bin/sylphd', import.meta.url)), join(dir, 'sylphd'));
  const { stdout } = await run(join(dir, 'sylphd'), ['--version'], { cwd: '/', env: { PATH: '/usr/bin:/bin' } });
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
});

test('a home directory in which nothing can be made holds nothing up', async () => {
  const env = { PATH: '/usr/bin:/bin', HOME: '/proc/x' };
  for (const [file, ...words] of [[launcher], [process.execPath, mainFile]] as const) {
    const { stdout } = await run(file, [...words, '--version'], { env, timeout: 20_000 });
    assert.match(stdout, /^sylph /);
  }
});
