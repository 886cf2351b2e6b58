import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { makeDataDir } from './data-dir.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));

test('a data directory is made with those above it, and left as it is when it is there', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sylph-data-'));
  try {
    const path = join(dir, 'a/b/data');
    await Promise.all([makeDataDir(path), makeDataDir(path)]);
    assert.equal((await stat(path)).mode & 0o777, 0o711);
    await writeFile(join(path, 'file'), '');
    await makeDataDir(path);
    assert.deepEqual(await readdir(path), ['file']);
    await assert.rejects(makeDataDir(join(path, 'file')), { code: 'host_unfit', message: /EEXIST/ });
    await assert.rejects(makeDataDir(join(path, 'file/x')), { code: 'host_unfit', message: /ENOTDIR/ });
  } finally {
    await rm(dir, { recursive: true });
  }
});

test('where none can be made, every command says so at once', async () => {
  const run = promisify(execFile);
  for (const dir of ['/proc/x', '/proc/self'])
    for (const words of [['serve', '--listen', '127.0.0.1:0'], ['token', 'list'], ['image', 'list'], ['doctor']])
      await assert.rejects(
        run(process.execPath, [main, ...words, '--data-dir', dir], { timeout: 20_000 }),
        ({ code, stderr }: { code: number; stderr: string }) => {
          assert.match(stderr, /^sylphd: the data directory \/proc\/\w+ cannot be used: .*\n +Give --data-dir/);
          return code === 1;
        },
      );
});
