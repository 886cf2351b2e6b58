import fs from 'node:fs/promises';
import path from 'node:path';
import { after, before } from 'node:test';
import { ownVms } from './daemon.ts';
import { ownRuns, testPool, testRoot } from './paths.ts';
import { until } from './shell.ts';

/** What a test file must leave as it found it. */
interface Footprint {
  vms: string[];
  mounts: string[];
  dataDirs: string[];
  handles: string[];
}

/** Handles Node keeps for the test runner itself. */
const ownHandles = new Set([
  'PipeWrap',
  'TTYWrap',
  'FSReqPromise',
  'FSReqCallback',
  'Immediate',
  'CloseReq',
  'WriteWrap',
  'ProcessWrap',
  'SignalWrap',
  'MessagePort',
  'FILEHANDLECLOSEREQ',
]);

async function footprint(): Promise<Footprint> {
  const mounts = (await fs.readFile('/proc/mounts', 'utf8')).split('\n').map((line) => line.split(' ')[1] ?? '');
  return {
    vms: (await ownVms()).map(String),
    mounts: mounts.filter((mount) => mount.startsWith(path.join(testPool, ownRuns))),
    dataDirs: [...(await fs.readdir(testPool)), ...(await fs.readdir(testRoot))].filter((name) =>
      name.startsWith(ownRuns),
    ),
    handles: process.getActiveResourcesInfo().filter((name) => !ownHandles.has(name)),
  };
}

/** Fails the file when its tests leave a process, mount, socket, timer or data directory behind. Call once at the top of a file; `end` ends what the whole file shares. Files run beside one another, so only what this one made counts. */
export function checkLeaks(end?: () => Promise<void>): void {
  let found: Footprint;
  before(async () => {
    found = await footprint();
  });
  after(async () => {
    await end?.();
    let left: string[] = [];
    await until(
      'the test file to be clean',
      async () => {
        const now = await footprint();
        left = (Object.keys(now) as (keyof Footprint)[]).flatMap((kind) =>
          surplus(now[kind], found[kind]).map((item) => `${kind}: ${item}`),
        );
        return left.length === 0;
      },
      { timeoutMs: 10_000, intervalMs: 100 },
    ).catch(() => {
      throw new Error(`left behind:\n  ${left.join('\n  ')}`);
    });
  });
}

/** Items of `now` beyond those of `before`, counted. */
function surplus(now: string[], before: string[]): string[] {
  const rest = [...before];
  return now.filter((item) => {
    const at = rest.indexOf(item);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
}
