import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { runProgram } from '../supervise.ts';

const deadlineMs = 60_000;

/** A file system that shares blocks, mounted on a temporary directory for as long as a test needs it. */
export interface ReflinkDir extends AsyncDisposable {
  readonly path: string;
}

/** Makes an XFS in a sparse file and mounts it. Needs root. */
export async function makeReflinkDir(sizeGib = 4): Promise<ReflinkDir> {
  const base = fs.mkdtempSync(path.join(os.tmpdir(), 'sylph-qemu-test-'));
  const image = path.join(base, 'pool.xfs');
  const mount = path.join(base, 'pool');
  fs.mkdirSync(mount);
  fs.writeFileSync(image, '');
  fs.truncateSync(image, sizeGib * 2 ** 30);
  await runProgram('mkfs.xfs', ['-q', '-m', 'reflink=1', image], { deadlineMs });
  await runProgram('mount', ['-o', 'loop,noatime', image, mount], { deadlineMs });
  // The hypervisor's uid has to pass through to its own directory.
  fs.chmodSync(base, 0o711);
  return {
    path: mount,
    [Symbol.asyncDispose]: async () => {
      await runProgram('umount', [mount], { deadlineMs });
      fs.rmSync(base, { recursive: true, force: true });
    },
  };
}
