import fs from 'node:fs';
import path from 'node:path';
import * as z from 'zod';
import { consoleRingBytes, runFiles } from './args.ts';
import type { QmpClient } from './qmp.ts';

const deadlineMs = 1_000;

/** The guest's console since it was last read: QEMU keeps the last 64 KiB in memory and reading takes them out. */
export async function readConsole(qmp: QmpClient): Promise<Buffer> {
  const text = await qmp.query(
    z.string(),
    'ringbuf-read',
    { device: 'console', size: consoleRingBytes, format: 'base64' },
    { deadlineMs },
  );
  return Buffer.from(text, 'base64');
}

/** Puts what the console holds into run/console, for whoever looks for the reason of an end. Best effort: evidence never stands in the way of what is to be done. */
export async function saveConsole(qmp: QmpClient, dir: string): Promise<string> {
  try {
    const bytes = await readConsole(qmp);
    if (bytes.length > 0) {
      const file = path.join(dir, runFiles.console);
      fs.rmSync(file, { force: true });
      fs.writeFileSync(file, bytes, { flag: 'wx', mode: 0o600 });
    }
    return bytes.toString('latin1');
  } catch {
    // QEMU is gone or stuck: its own end is reported, only the guest's last words are missing.
    return '';
  }
}
