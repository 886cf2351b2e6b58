import path from 'node:path';
import { pageBytes } from '@sylph/model/page';
import { runFiles } from '../args.ts';
import { cloneDisk, syncFile, takeDev, writeDev } from './files.ts';
import type { CaptureJob, CapturedFiles } from './jobs.ts';
import { GuestMemory } from './memory.ts';
import { batchBytes } from './batch.ts';
import { RamFile } from './pages.ts';

/** Copies a paused VM: disk by reflink, of RAM the pages it has of its own. Blocks its thread; throws on any failure. */
export async function captureStopped(job: CaptureJob): Promise<CapturedFiles> {
  const origin = path.join(job.vmDir, 'ram');
  const target = (name: string): string => path.join(job.targetDir, name);
  const state = takeDev(path.join(job.vmDir, runFiles.dev));
  const disk = await cloneDisk(path.join(job.vmDir, 'disk'), target('disk'));
  const memory = new GuestMemory(job.pid, origin, job.ramBytes);
  try {
    const ram = new RamFile(origin, target('ram'), job.ramBytes);
    try {
      for (const [first, end] of memory.privateRuns()) {
        for (let at = first * pageBytes; at < end * pageBytes; at += batchBytes)
          ram.write(at, memory.read(at, Math.min(batchBytes, end * pageBytes - at)));
      }
      await ram.finish();
      ram.sync();
      syncFile(target('disk'));
      const devSha256 = writeDev(target('dev'), state);
      return { changedRamBytes: ram.changedBytes, devSha256, sizes: { disk, ram: job.ramBytes, dev: state.length } };
    } finally {
      ram.close();
    }
  } finally {
    memory.close();
  }
}
