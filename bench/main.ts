// Measures the product beside bare QEMU, which the same program runs in the same minutes on the same file system.
import fs from 'node:fs/promises';
import type { Figure } from './bench.ts';
import { Environment } from './environment.ts';
import { attach } from './figures/attach.ts';
import { checkpoint } from './figures/checkpoint.ts';
import { create } from './figures/create.ts';
import { edge } from './figures/edge.ts';
import { exec } from './figures/exec.ts';
import { files } from './figures/files.ts';
import { fork, forkRunning, forkTen } from './figures/fork.ts';
import { commands, list } from './figures/many.ts';
import { network } from './figures/network.ts';
import { ports } from './figures/ports.ts';
import { rest } from './figures/rest.ts';
import { restore } from './figures/restore.ts';
import { sleepAndWake } from './figures/sleep.ts';
import { stream } from './figures/stream.ts';
import { readOptions, usage, type BenchOptions } from './options.ts';
import { renderJson } from './report/json.ts';
import { machineFacts } from './report/machine.ts';
import type { Row } from './report/row.ts';
import { missed, renderTable } from './report/table.ts';

/** Aborted by the first Ctrl+C or SIGTERM: the pair that runs is finished, everything is taken down, what was measured is printed. */
const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => interrupted.abort(new Error(`ended by ${name}`)));

const figures: Figure[] = [
  create,
  exec,
  attach,
  sleepAndWake,
  rest,
  restore,
  fork,
  forkTen,
  forkRunning,
  stream,
  ports,
  edge,
  network,
  files,
  commands,
  checkpoint,
  list,
];

/** Runs the benchmark; resolves to the exit code: 1 when a figure could not be measured. What was missed is told, not failed. */
async function main(options: BenchOptions): Promise<number> {
  const began = performance.now();
  const startedAt = new Date().toISOString();
  const say = (text: string): void =>
    console.error(`${String(Math.round((performance.now() - began) / 1000)).padStart(4)} s  ${text}`);
  const rows: Row[] = [];
  const failures: { figure: string; reason: string }[] = [];
  await using environment = await Environment.open({ quick: options.quick, say, signal: interrupted.signal });
  const machine = await machineFacts(environment.accelerator);
  for (const { name, measure } of figures.filter(
    (figure) => options.only.length === 0 || options.only.includes(figure.name),
  )) {
    if (interrupted.signal.aborted) break;
    say(name);
    try {
      rows.push(...(await measure(environment.bench)));
    } catch (error) {
      failures.push({ figure: name, reason: error instanceof Error ? (error.stack ?? error.message) : String(error) });
      say(`${name} could not be measured: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const durationS = Math.round((performance.now() - began) / 1000);
  console.log(
    `${machine.cpu}, ${machine.cpus} CPUs, Linux ${machine.kernel}, QEMU ${machine.qemu} (${machine.accelerator}), ${startedAt}, ${durationS} s, load ${machine.loadAverage}`,
  );
  console.log(renderTable(rows));
  const misses = missed(rows);
  console.log(
    misses.length === 0
      ? '\nEvery target that was measured is met.'
      : `\nMissed: ${misses.map(({ title, target }) => `${title} (${target?.text})`).join('; ')}.`,
  );
  const { lost } = environment.bench;
  for (const what of lost) console.log(`Left out: ${what}`);
  for (const { figure, reason } of failures) console.log(`Not measured: ${figure}: ${reason}`);
  if (options.json !== undefined)
    await fs.writeFile(
      options.json,
      renderJson(rows, { machine, startedAt, durationS, quick: options.quick, lost, failures }),
    );
  return failures.length === 0 ? 0 : 1;
}

const options = readOptions(
  process.argv.slice(2),
  figures.map(({ name }) => name),
);
if (options) process.exitCode = await main(options);
else console.log(usage);
