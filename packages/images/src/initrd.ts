import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CpioEntry } from './cpio.ts';
import { run } from './run.ts';

const unpackTimeoutMs = 30_000;

/** Modules that go into an initrd. */
export interface InitrdModules {
  release: string;
  /** The release's directory on the host. */
  dir: string;
  /** Files to load at boot, in order, relative to `dir`. */
  boot: string[];
}

/**
 * What the initrd holds: `/init` (the agent), `/modules/load` (files to load at boot, one a line, in order, relative to /modules),
 * `/modules/boot/` (those files, unpacked: the agent hands them to the kernel as they are) and `/modules/<release>/` (the whole module
 * tree, which becomes /lib/modules/<release> of the guest).
 */
export async function initrdEntries(agent: Buffer, modules: InitrdModules, signal?: AbortSignal): Promise<CpioEntry[]> {
  const boot: CpioEntry[] = [];
  for (const path of modules.boot)
    boot.push({
      kind: 'file',
      path: bootFile(path),
      mode: 0o644,
      data: await unpacked(join(modules.dir, path), signal),
    });
  const load = modules.boot.map((path) => bootFile(path).slice('modules/'.length));
  return [
    { kind: 'directory', path: 'dev', mode: 0o755 },
    { kind: 'char', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    { kind: 'directory', path: 'modules', mode: 0o755 },
    { kind: 'directory', path: 'modules/boot', mode: 0o755 },
    ...boot,
    { kind: 'file', path: 'modules/load', mode: 0o644, data: Buffer.from(load.map((line) => `${line}\n`).join('')) },
    ...(await treeEntries(modules.dir, `modules/${modules.release}`)),
    { kind: 'file', path: 'init', mode: 0o755, data: agent },
  ];
}

function bootFile(path: string): string {
  return `modules/boot/${path.slice(path.lastIndexOf('/') + 1).replace(/\.(xz|zst|gz)$/, '')}`;
}

async function unpacked(path: string, signal: AbortSignal | undefined): Promise<Buffer> {
  if (!path.endsWith('.xz')) return await readFile(path);
  return await run('xz', ['--decompress', '--stdout', path], { collect: true, signal, timeoutMs: unpackTimeoutMs });
}

async function treeEntries(dir: string, path: string): Promise<CpioEntry[]> {
  const entries: CpioEntry[] = [{ kind: 'directory', path, mode: 0o755 }];
  const children = await readdir(dir, { withFileTypes: true });
  for (const child of children.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const from = join(dir, child.name);
    const to = `${path}/${child.name}`;
    if (child.isDirectory()) entries.push(...(await treeEntries(from, to)));
    else if (child.isFile()) entries.push({ kind: 'file', path: to, mode: 0o644, data: await readFile(from) });
  }
  return entries;
}
