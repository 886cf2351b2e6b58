import fs from 'node:fs/promises';
import { timed, type Bench, type Figure } from '../bench.ts';
import { BenchSprite } from '../product/sprite.ts';
import { atMost, p99AtMost, type Row } from '../report/row.ts';

const commandsAtOnce = 50;
/** Sprites of one fork. */
const forkCount = 100;
const pageSize = 50;
const pagesRead = 200;

/** Many commands at once in one sprite: how long all of them take, and that none fails. */
export const commands: Figure = {
  name: 'commands',
  async measure(bench) {
    await using sprite = await BenchSprite.create(bench, bench.unique('commands'));
    await sprite.firstOutputAt();
    const ours: number[] = [];
    const run = async (index: number): Promise<void> => {
      const { stdout, exitCode } = await bench.client.run(sprite.name, { cmd: ['echo', String(index)] });
      if (exitCode !== 0 || new TextDecoder().decode(stdout) !== `${index}\n`)
        throw new Error(`command ${index} ended with ${exitCode}`);
    };
    const all = (): Promise<unknown> => Promise.all(Array.from({ length: commandsAtOnce }, (_, index) => run(index)));
    for (let round = 0; round < (bench.quick ? 1 : 5); round++) ours.push(await timed(all));
    return [
      {
        title: `${commandsAtOnce} commands at once, all done`,
        unit: 'ms',
        ours,
        floor: [],
        floorDoes: 'nothing of the kind',
      },
    ];
  },
};

/** A page of the list among many sleeping sprites, and the daemon's memory with them. Measured last: they stay. */
export const list: Figure = {
  name: 'list',
  async measure(bench) {
    await using sprite = await BenchSprite.create(bench, bench.unique('list'));
    const rows: Row[] = [];
    let made = 0;
    for (const count of bench.quick ? [1_000] : [1_000, 10_000]) {
      for (; made < count; made += forkCount) {
        bench.signal.throwIfAborted();
        await bench.client.sprites.fork(sprite.name, { name: `many-${made}`, count: forkCount });
      }
      rows.push(...(await measureList(bench, count)));
    }
    return rows;
  },
};

async function measureList(bench: Bench, count: number): Promise<Row[]> {
  const ours: number[] = [];
  // From page to page through the list, and again from its start.
  let token: string | undefined;
  for (let read = 0; read < pagesRead; read++) {
    ours.push(
      await timed(async () => {
        const page = await bench.client.sprites.page({ pageSize, token });
        if (page.has_more && page.sprites.length !== pageSize) throw new Error(`a page of ${page.sprites.length}`);
        token = page.has_more ? (page.next_continuation_token ?? undefined) : undefined;
      }),
    );
  }
  const none = { floor: [], floorDoes: 'nothing of the kind' };
  return [
    {
      title: `list ${pageSize} of ${count} sleeping sprites`,
      unit: 'ms',
      ours,
      ...none,
      target: p99AtMost(20, 'ms'),
    },
    {
      title: `memory of the daemon with ${count} sleeping sprites`,
      unit: 'MB',
      ours: [await residentMb(bench.daemonPid)],
      ...none,
      target: atMost(250, 'MB'),
    },
  ];
}

async function residentMb(pid: number): Promise<number> {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(await fs.readFile(`/proc/${pid}/status`, 'utf8')) ?? [];
  return (Number(kib) * 1024) / 1e6;
}
