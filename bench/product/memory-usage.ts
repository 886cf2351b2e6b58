import fs from 'node:fs/promises';

/** Memory that exists for one process alone, MiB: its share of anonymous pages (Pss_Anon), which includes private copies of mapped files. */
export async function privateMib(pid: number): Promise<number> {
  const text = await fs.readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss_Anon:\s+(\d+) kB/m.exec(text)?.[1] ?? Number.NaN) / 1024;
}
