// Makes the file system and the seed that tests on real VMs share, and takes the mount down again: `node --test --test-global-setup=…/global-setup.ts`.
import fs from 'node:fs/promises';
import path from 'node:path';
import { isMountPoint, mountFresh, mountLoop, removeDataDir, TestDaemon, vmsBelow } from './daemon.ts';
import { node, seedDir, sylphd, testPool, testRoot } from './paths.ts';
import { shell } from './shell.ts';

/** Size of the test file system, sparse. */
const poolGib = 40;

/** Shapes of sprites the suites use; booted once. Small memory keeps emulated captures quick. */
export const seedShapes = [{}, { ram_mb: 512 }];

/** Mounts and seeds. Idempotent. */
export async function globalSetup(): Promise<void> {
  const file = path.join(testRoot, 'pool.xfs');
  await fs.mkdir(testPool, { recursive: true });
  if (!(await isMountPoint(testPool))) {
    if (await fs.stat(file).catch(() => undefined)) await mountLoop(file, testPool);
    else await mountFresh(file, poolGib, testPool);
  }
  await removeRuns();
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
    await removeOldGeneses();
  } finally {
    await daemon.stop();
  }
}

/** Fails when tests left VMs behind, then unmounts. Node calls it again when it throws, so it says what is wrong through the exit code. */
export async function globalTeardown(): Promise<void> {
  const left = await vmsBelow(testPool);
  for (const pid of left) process.kill(pid, 'SIGKILL');
  if (left.length > 0) {
    process.stderr.write(`tests left ${left.length} VMs behind\n`);
    process.exitCode = 1;
  }
  await removeRuns();
  await shell('umount', [testPool]);
}

/** Removes geneses of guests before the newest: every data directory gets a copy of all. */
async function removeOldGeneses(): Promise<void> {
  const shelf = path.join(seedDir, 'pool/genesis');
  const manifests = await Promise.all(
    (await fs.readdir(shelf)).map(async (key) => ({
      key,
      ...JSON.parse(await fs.readFile(path.join(shelf, key, 'snapshot.json'), 'utf8')),
    })),
  );
  manifests.sort((one, other) => one.createdAt.localeCompare(other.createdAt));
  const newest = manifests.at(-1)?.guest.digest;
  for (const { key, guest } of manifests)
    if (guest.digest !== newest) await fs.rm(path.join(shelf, key), { recursive: true });
}

/** Removes what killed test files left. */
async function removeRuns(): Promise<void> {
  for (const name of await fs.readdir(testPool))
    if (name.startsWith('run-')) await removeDataDir(path.join(testPool, name));
}
