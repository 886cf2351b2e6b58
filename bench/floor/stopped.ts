import fs from 'node:fs';
import path from 'node:path';
import { pageBytes, reflink, syncFiles } from './files.ts';
import { snapshotFiles, type FloorSnapshot } from './machine.ts';
import { changedRuns, findRam, readPages } from './memory.ts';
import type { FloorVm } from './vm.ts';

const copyPages = 1024;

/**
 * Captures a VM that nobody needs any more: stop, device state, reflinks of disk and RAM, changed pages, fsync. The VM stays paused. The session must be closed.
 */
export async function captureStopped(vm: FloorVm, ramMib: number, target: FloorSnapshot): Promise<void> {
  fs.mkdirSync(target.dir);
  const at = (name: string): string => path.join(target.dir, name);
  await vm.qmp.command('stop');
  await vm.qmp.command('xen-save-devices-state', { filename: at(snapshotFiles.dev), live: false });
  reflink(path.join(vm.dir, 'disk'), at(snapshotFiles.disk));
  reflink(vm.ram, at(snapshotFiles.ram));
  copyChanged(vm.pid, ramMib, at(snapshotFiles.ram));
  await syncFiles(target.dir, Object.values(snapshotFiles));
}

function copyChanged(pid: number, ramMib: number, target: string): void {
  const ram = findRam(pid, ramMib * 2 ** 20);
  const memory = fs.openSync(`/proc/${pid}/mem`, 'r');
  const file = fs.openSync(target, 'r+');
  const buffer = Buffer.allocUnsafe(copyPages * pageBytes);
  try {
    for (const { first, count } of changedRuns(ram, copyPages)) {
      readPages(memory, ram, buffer, first, count);
      fs.writeSync(file, buffer, 0, count * pageBytes, first * pageBytes);
    }
  } finally {
    fs.closeSync(memory);
    fs.closeSync(file);
  }
}
