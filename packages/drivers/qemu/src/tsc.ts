import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SylphError } from '@sylph/model';
import { QmpClient } from './qmp.ts';
import { supervise, terminate } from './supervise.ts';

/** Three windows: one that the scheduler tore apart does not count. Errors seen: below 10 ppm. */
const windows = 3;
const windowMs = 100;
const qmpDeadlineMs = 10_000;
/** Section `timer` of a device state: name with its length, instance and version, then ticks, an unused word and nanoseconds, all as 64-bit big-endian (QEMU, system/cpu-timers.c). */
const sectionName = Buffer.from('\x05timer', 'latin1');
const sectionHeadBytes = 8;

/**
 * Rate of the time stamp counter that emulated guests see, kHz.
 *
 * A guest without KVM finds it out at boot by watching the timer chip for some milliseconds. On a busy host the two virtual CPUs are interrupted so often that this
 * fails (`tsc: Unable to calibrate against PIT`), and then its kernel waits forever for a tick of the same chip, which microvm does not deliver: the silent boots.
 * So the guest is told (`tsc_early_khz`). The emulator keeps counter and clock side by side; here an empty machine runs for a moment and is asked for both.
 */
export async function measureTscKhz(qemu: string): Promise<number> {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'sylph-tsc-'));
  try {
    const program = await supervise(
      qemu,
      [
        '-M',
        'none',
        '-accel',
        'tcg',
        '-nodefaults',
        '-no-user-config',
        '-display',
        'none',
        '-S',
        '-qmp',
        'unix:qmp,server=on,wait=off',
      ],
      { cwd: dir },
    );
    try {
      const ended = new AbortController();
      void program.exited.then(() => ended.abort());
      const qmp = await QmpClient.connect(path.join(dir, 'qmp'), { deadlineMs: qmpDeadlineMs, signal: ended.signal });
      try {
        return await measure(qmp, path.join(dir, 'state'));
      } finally {
        qmp.close();
      }
    } finally {
      await terminate(program);
    }
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

async function measure(qmp: QmpClient, file: string): Promise<number> {
  const rates: number[] = [];
  let before = await readClocks(qmp, file);
  for (let window = 0; window < windows; window++) {
    await qmp.command('cont');
    await sleep(windowMs);
    await qmp.command('stop');
    const after = await readClocks(qmp, file);
    rates.push(Number(after.ticks - before.ticks) / (Number(after.ns - before.ns) / 1e6));
    before = after;
  }
  const median = Math.round(rates.toSorted((a, b) => a - b)[windows >> 1] ?? 0);
  if (median > 100_000 && median < 100_000_000) return median;
  throw new SylphError('host_unfit', `the emulator's time stamp counter runs at ${median} kHz, which no CPU does`);
}

async function readClocks(qmp: QmpClient, file: string): Promise<{ ticks: bigint; ns: bigint }> {
  await qmp.command('xen-save-devices-state', { filename: file, live: false });
  const state = fs.readFileSync(file);
  fs.rmSync(file);
  const at = state.indexOf(sectionName) + sectionName.length + sectionHeadBytes;
  if (at < sectionName.length + sectionHeadBytes || at + 24 > state.length)
    throw new SylphError('host_unfit', 'this QEMU saves no clocks');
  return { ticks: state.readBigInt64BE(at), ns: state.readBigInt64BE(at + 16) };
}
