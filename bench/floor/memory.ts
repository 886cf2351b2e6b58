import fs from 'node:fs';
import { pageBytes } from './files.ts';

/** The mapping of a VM's RAM in the address space of its QEMU. */
export interface RamMapping {
  pid: number;
  start: bigint;
  pages: number;
}

/** Finds the mapping of a file, or the largest one of a size when QEMU opened it by a name we do not know. */
export function findRam(pid: number, sizeBytes: number): RamMapping {
  for (const line of fs.readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
    if (!range) continue;
    const start = BigInt(`0x${range[1]}`);
    if (Number(BigInt(`0x${range[2]}`) - start) === sizeBytes) return { pid, start, pages: sizeBytes / pageBytes };
  }
  throw new Error(`process ${pid} has no mapping of ${sizeBytes} bytes`);
}

/** Runs of pages the VM changed: private copies, in memory or swapped (bits 63 and 62 of /proc/PID/pagemap without bit 61, Documentation/admin-guide/mm/pagemap.rst). At most `longest` pages each. */
export function* changedRuns(ram: RamMapping, longest: number): Generator<{ first: number; count: number }> {
  const entries = new Uint32Array(ram.pages * 2);
  const bytes = Buffer.from(entries.buffer);
  const pagemap = fs.openSync(`/proc/${ram.pid}/pagemap`, 'r');
  try {
    for (let got = 0; got < bytes.length;)
      got += fs.readSync(pagemap, bytes, got, bytes.length - got, Number(ram.start / BigInt(pageBytes)) * 8 + got);
  } finally {
    fs.closeSync(pagemap);
  }
  const isPrivate = (page: number): boolean => {
    const high = entries[2 * page + 1] as number;
    return (high & 0xc0000000) !== 0 && (high & 0x20000000) === 0;
  };
  for (let first = 0; first < ram.pages;) {
    let end = first;
    while (end < ram.pages && end - first < longest && isPrivate(end)) end++;
    if (end > first) yield { first, count: end - first };
    first = Math.max(end, first + 1);
  }
}

/** Reads guest memory at a page. */
export function readPages(memory: number, ram: RamMapping, into: Buffer, first: number, count: number): void {
  for (let got = 0; got < count * pageBytes;)
    got += fs.readSync(memory, into, got, count * pageBytes - got, ram.start + BigInt(first * pageBytes + got));
}
