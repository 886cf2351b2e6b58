import os from 'node:os';
import { shell } from '../floor/shell.ts';

/** What the numbers depend on. */
export interface MachineFacts {
  cpu: string;
  cpus: number;
  memoryMib: number;
  kernel: string;
  qemu: string;
  accelerator: string;
  node: string;
  /** Processes wanting a CPU in the minute before; above `cpus`, others were measured too. */
  loadAverage: number;
}

/** Asks the host. */
export async function machineFacts(accelerator: string): Promise<MachineFacts> {
  const qemu = /version ([^\s(]+)/.exec(await shell('qemu-system-x86_64', ['--version']))?.[1] ?? 'unknown';
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cpus: os.cpus().length,
    memoryMib: Math.round(os.totalmem() / 2 ** 20),
    kernel: os.release(),
    qemu,
    accelerator,
    node: process.version,
    loadAverage: Math.round((os.loadavg()[0] as number) * 10) / 10,
  };
}
