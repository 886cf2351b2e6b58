// Makes the file system and the seed that tests on real VMs share, and takes the mount down again: `node --test --test-global-setup=…/global-setup.ts`.
import fs from 'node:fs/promises';
import path from 'node:path';
import { TestDaemon, vmsBelow } from './daemon.ts';
import { node, seedDir, sylphd, testPool, testRoot } from './paths.ts';
import { shell } from './shell.ts';

/** Sparse size of the test file system. */
const poolBytes = 40 * 2 ** 30;

/** Shapes of sprites the suites use; booted once. Small memory keeps emulated captures quick. */
export const seedShapes = [{}, { ram_mb: 512 }];

/** Mounts and seeds. Idempotent. */
export async function globalSetup(): Promise<void> {
  const file = path.join(testRoot, 'pool.xfs');
  await fs.mkdir(testPool, { recursive: true });
  if (!(await isMounted())) {
    if (!(await fs.stat(file).catch(() => undefined))) {
      const handle = await fs.open(file, 'wx');
      await handle.truncate(poolBytes);
      await handle.close();
      await shell('mkfs.xfs', ['-q', '-f', '-m', 'reflink=1', file]);
    }
    await shell('mount', ['-o', 'loop,noatime', file, testPool]);
  }
  for (const name of await fs.readdir(testPool))
    if (name.startsWith('run-')) await fs.rm(path.join(testPool, name), { recursive: true, force: true });
  await fs.mkdir(seedDir, { recursive: true, mode: 0o711 });
  await shell(node, [sylphd, 'image', 'build', 'minimal', '--data-dir', seedDir], { timeoutMs: 15 * 60_000 });
  const daemon = await TestDaemon.start({ dataDir: seedDir });
  try {
    for (const [index, config] of seedShapes.entries()) {
      const name = `seed-${index}`;
      const headers = { authorization: `Bearer ${daemon.token}`, 'content-type': 'application/json' };
      const answer = await fetch(`${daemon.url}/v1/sprites`, {
        method: 'POST',
        headers,
        body: JSON.stringify({ name, config }),
      });
      if (answer.status !== 201)
        throw new Error(`the seed could not be made: ${await answer.text()}\n${(await daemon.log()).slice(-2000)}`);
      await fetch(`${daemon.url}/v1/sprites/${name}`, { method: 'DELETE', headers });
    }
  } finally {
    await daemon.stop();
  }
}

/** Fails when a test left a VM behind, then unmounts. */
export async function globalTeardown(): Promise<void> {
  const left = await vmsBelow(testPool);
  for (const pid of left) process.kill(pid, 'SIGKILL');
  await shell('umount', [testPool]);
  if (left.length > 0) throw new Error(`tests left ${left.length} VMs behind`);
}

async function isMounted(): Promise<boolean> {
  const [own, parent] = await Promise.all([fs.stat(testPool), fs.stat(testRoot)]);
  return own.dev !== parent.dev;
}
