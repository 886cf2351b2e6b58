import fs from 'node:fs';

/** Kernel clock ticks a second in /proc/PID/stat: USER_HZ is 100 on every Linux of x86-64. */
const ticksPerSecond = 100;

/** A process as the kernel tells it. */
export interface ProcessFacts {
  /** Ticks since boot; together with the pid it names a process for good. */
  startTime: string;
  /** One letter; `Z` and `X` are no longer running. */
  state: string;
  cpuMs: number;
}

/** Facts of a process, undefined when it is gone. */
export function processFacts(pid: number): ProcessFacts | undefined {
  const text = readProc(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // The name in parentheses may hold anything; fields count from its last ')': state is field 3.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return { state: fields[0] ?? '', startTime: fields[19] ?? '', cpuMs: (ticks * 1000) / ticksPerSecond };
}

/** Whether the process is still the one that started then, and running. */
export function isAlive(pid: number, startTime: string): boolean {
  const facts = processFacts(pid);
  return facts !== undefined && facts.startTime === startTime && facts.state !== 'Z' && facts.state !== 'X';
}

/** Program a process runs, undefined when it is gone. A binary that was replaced since (an upgrade) keeps its path. */
export function processExe(pid: number): string | undefined {
  return readLink(`/proc/${pid}/exe`)?.replace(/ \(deleted\)$/, '');
}

/** Working directory of a process, undefined when it is gone. */
export function processCwd(pid: number): string | undefined {
  return readLink(`/proc/${pid}/cwd`);
}

/** Anonymous memory that is this process's share, bytes. 0 when it is gone. */
export async function privateBytes(pid: number): Promise<number> {
  try {
    const text = await fs.promises.readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
    return Number(/^Pss_Anon:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
  } catch {
    // Gone meanwhile: it uses nothing.
    return 0;
  }
}

/** Ids of all processes now. */
export function allPids(): number[] {
  return fs.readdirSync('/proc').map(Number).filter(Number.isInteger);
}

/** Where a process maps the whole of a file, as addresses: pieces that touch count as one. Undefined when it does not. */
export function mappingOf(pid: number, path: string): { start: bigint; end: bigint } | undefined {
  let found: { start: bigint; end: bigint } | undefined;
  for (const entry of (readProc(`/proc/${pid}/maps`) ?? '').split('\n')) {
    if (!entry.endsWith(` ${path}`)) continue;
    const match = /^([0-9a-f]+)-([0-9a-f]+) /.exec(entry);
    if (match?.[1] === undefined || match[2] === undefined) continue;
    const [start, end] = [BigInt(`0x${match[1]}`), BigInt(`0x${match[2]}`)];
    if (found === undefined) found = { start, end };
    else if (start === found.end) found.end = end;
    else return undefined;
  }
  return found;
}

function readProc(path: string): string | undefined {
  try {
    return fs.readFileSync(path, 'latin1');
  } catch {
    // The process is gone, which undefined says.
    return undefined;
  }
}

function readLink(path: string): string | undefined {
  try {
    return fs.readlinkSync(path);
  } catch {
    // The process is gone, which undefined says.
    return undefined;
  }
}
