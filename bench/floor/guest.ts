import fs from 'node:fs/promises';
import path from 'node:path';
import { readCpio, writeCpio, type CpioFile } from './cpio.ts';
import { shell } from './shell.ts';

/** What a bare VM boots. */
export interface FloorGuest {
  kernel: string;
  initrd: string;
  /** Root disk, an image file; reflinked by every VM. */
  disk: string;
}

/** The kernel of the guest at `guestDir` (kernel, initrd), with an initrd of our own: its boot modules and the floor's agent. Writes into `outDir`. */
export async function buildFloorGuest(options: {
  guestDir: string;
  disk: string;
  outDir: string;
}): Promise<FloorGuest> {
  const { guestDir, disk, outDir } = options;
  const agent = await buildGo(path.join(import.meta.dirname, 'agent'), path.join(outDir, 'floor-agent'));
  const modules = [...readCpio(await fs.readFile(path.join(guestDir, 'initrd')))].filter(
    ({ path: name }) =>
      name === 'modules' || name === 'modules/load' || name === 'modules/boot' || name.startsWith('modules/boot/'),
  );
  const files: CpioFile[] = [
    { path: 'dev', mode: 0o040755, data: Buffer.alloc(0) },
    { path: 'dev/console', mode: 0o020600, device: [5, 1], data: Buffer.alloc(0) },
    ...modules,
    { path: 'init', mode: 0o100755, data: await fs.readFile(agent) },
  ];
  const initrd = path.join(outDir, 'initrd');
  await fs.writeFile(initrd, writeCpio(files));
  return { kernel: path.join(guestDir, 'kernel'), initrd, disk };
}

/** Builds a static program of the standard library only; returns its path. */
export async function buildGo(source: string, target: string): Promise<string> {
  const env = {
    CGO_ENABLED: '0',
    GOOS: 'linux',
    GOARCH: 'amd64',
    GOTOOLCHAIN: 'local',
    PATH: `${process.env['PATH']}:/usr/local/go/bin`,
  };
  await shell('go', ['build', '-trimpath', '-buildvcs=false', '-ldflags=-s -w', '-o', target, '.'], {
    cwd: source,
    env,
  });
  return target;
}
