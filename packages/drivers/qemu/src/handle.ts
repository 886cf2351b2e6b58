import fs from 'node:fs';
import path from 'node:path';
import * as z from 'zod';
import { runFiles } from './args.ts';
import { allPids, isAlive, processCwd, processExe, processFacts } from './procfs.ts';

/** `run/vm.json`, version 1: by which a later daemon knows the VM's process. */
const vmHandle = z.strictObject({
  version: z.literal(1),
  pid: z.int().min(2),
  /** Field 22 of /proc/PID/stat. */
  startTime: z.string().regex(/^\d{1,20}$/),
  exe: z.string(),
  ramMib: z.int(),
  /** Name of its limits' group. */
  group: z.string().regex(/^[A-Za-z0-9-]{1,64}$/),
});
export type VmHandle = z.output<typeof vmHandle>;

/** Longest handle read, bytes: the file lies where the hypervisor's uid may write. */
const maxHandleBytes = 4096;

/** Describes a process that was just spawned. Undefined when it is gone already. */
export function describeProcess(pid: number, vm: { ramMib: number; group: string }): VmHandle | undefined {
  const facts = processFacts(pid);
  const exe = processExe(pid);
  return facts === undefined || exe === undefined
    ? undefined
    : { version: 1, pid, startTime: facts.startTime, exe, ...vm };
}

/** Writes the handle: whole or not at all. It need not survive a power cut, for neither does the VM. */
export function writeHandle(dir: string, handle: VmHandle): void {
  const file = path.join(dir, runFiles.handle);
  fs.writeFileSync(`${file}.new`, JSON.stringify(handle), { mode: 0o600 });
  fs.renameSync(`${file}.new`, file);
}

/**
 * The VM process of a working directory, undefined when it is gone. The handle must name pid, start time and program of a process whose working directory this is:
 * the handle's directory belongs to the hypervisor's uid, so its word alone is not enough to signal anything.
 * Without a readable handle (the daemon died between spawn and write) processes are searched for one that runs in the directory.
 */
export function findProcess(
  dir: string,
  isHypervisor: (exe: string) => boolean,
): { handle: VmHandle | undefined; pid: number; startTime: string } | undefined {
  const handle = readHandle(dir);
  if (handle !== undefined) {
    const { pid, startTime, exe } = handle;
    if (isAlive(pid, startTime) && processExe(pid) === exe && isHypervisor(exe) && processCwd(pid) === realDir(dir))
      return { handle, pid, startTime };
  }
  for (const pid of allPids()) {
    if (processCwd(pid) !== realDir(dir)) continue;
    const exe = processExe(pid);
    const facts = processFacts(pid);
    if (exe === undefined || facts === undefined || !isHypervisor(exe) || !isAlive(pid, facts.startTime)) continue;
    return { handle: undefined, pid, startTime: facts.startTime };
  }
  return undefined;
}

function realDir(dir: string): string | undefined {
  try {
    return fs.realpathSync(dir);
  } catch {
    // No directory: no process works in it.
    return undefined;
  }
}

function readHandle(dir: string): VmHandle | undefined {
  let fd: number | undefined;
  try {
    fd = fs.openSync(
      path.join(dir, runFiles.handle),
      fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK,
    );
    const buffer = Buffer.alloc(maxHandleBytes);
    const read = fs.readSync(fd, buffer, 0, maxHandleBytes, 0);
    return vmHandle.parse(JSON.parse(buffer.toString('utf8', 0, read)));
  } catch {
    // Missing, torn or of another version: the search through the processes finds what it would have named.
    return undefined;
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
}
