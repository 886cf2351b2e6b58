import fs from 'node:fs/promises';
import path from 'node:path';
import { SylphError } from '@sylph/model';

/** Start time of a process in clock ticks since boot, field 22 of /proc/PID/stat; undefined when there is none. Tells a process from a later one with its number. */
async function startTime(pid: number): Promise<string | undefined> {
  try {
    const stat = await fs.readFile(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    // No such process.
    return undefined;
  }
}

/** Takes a data directory for one daemon. Dispose to give it back. A lock whose daemon is gone is taken over. */
export async function lockDataDir(dataDir: string): Promise<AsyncDisposable> {
  const file = path.join(dataDir, 'sylphd.lock');
  const own = `${process.pid} ${await startTime(process.pid)}`;
  for (;;) {
    try {
      await fs.writeFile(file, own, { flag: 'wx', mode: 0o600 });
      return { [Symbol.asyncDispose]: () => fs.rm(file, { force: true }) };
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      const [pid = '', started] = (await fs.readFile(file, 'utf8')).split(' ');
      if ((await startTime(Number(pid))) === started && started !== undefined) {
        throw new SylphError('host_unfit', `another sylphd, process ${pid}, runs on ${dataDir}`, {
          hint: 'Stop it first, or give this one another --data-dir.',
        });
      }
      await fs.rm(file, { force: true });
    }
  }
}
