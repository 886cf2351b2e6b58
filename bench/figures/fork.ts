import fs from 'node:fs/promises';
import path from 'node:path';
import { pairs, type Bench, type Figure } from '../bench.ts';
import { captureLive, FloorVm, type FloorSnapshot } from '../floor/index.ts';
import { privateMib } from '../product/memory-usage.ts';
import { BenchSprite, firstOutputAt, firstOutputCommand } from '../product/sprite.ts';
import { timesFloor, type Row } from '../report/row.ts';

const atOnce = 10;
const startOne =
  'reflink the disk, start QEMU over the snapshot, cont, connect HTTP/2, run the command to its first output byte';

/** A fork of a checkpoint to first output, and its memory. */
export const fork: Figure = {
  name: 'fork',
  measure: (bench) => withSource(bench, (source) => measureOne(bench, source)),
};

/** Ten forks of a checkpoint at once, each to first output. */
export const forkTen: Figure = {
  name: 'fork-ten',
  measure: (bench) => withSource(bench, async (source) => [await measureMany(bench, source)]),
};

/** A fork of a sprite that runs on, to first output. */
export const forkRunning: Figure = {
  name: 'fork-running',
  measure: (bench) => withSource(bench, async (source) => [await measureRunning(bench, source)]),
};

/** A running sprite with a checkpoint, and a bare VM with a snapshot of the same kind. */
async function withSource(bench: Bench, measure: (source: Source) => Promise<Row[]>): Promise<Row[]> {
  await using sprite = await BenchSprite.create(bench, bench.unique('fork'));
  await sprite.firstOutputAt();
  const { id: checkpoint } = await bench.client.checkpoints.createAndWait(sprite.name);
  await using vm = await FloorVm.restore(bench.floor, bench.unique('fork'), bench.genesis);
  await vm.run(...firstOutputCommand);
  await vm.disconnect();
  const snapshot = { dir: path.join(bench.floor.dir, bench.unique('origin')) };
  await captureLive(vm, bench.floor.ramMib, snapshot);
  try {
    return await measure({ sprite, checkpoint, vm, snapshot });
  } finally {
    await fs.rm(snapshot.dir, { recursive: true });
  }
}

interface Source {
  sprite: BenchSprite;
  checkpoint: string;
  vm: FloorVm;
  snapshot: FloorSnapshot;
}

async function measureOne(bench: Bench, { sprite, checkpoint, snapshot }: Source): Promise<Row[]> {
  const samples = { ours: [] as number[], floor: [] as number[], oursMib: [] as number[], floorMib: [] as number[] };
  await pairs(
    bench,
    { times: 15, limitMs: 45_000 },
    async () => {
      const name = bench.unique('one');
      const began = performance.now();
      await bench.client.sprites.fork(sprite.name, { name, checkpoint });
      samples.ours.push((await firstOutputAt(bench.client, name)) - began);
      await using made = await BenchSprite.of(bench, name);
      samples.oursMib.push(await privateMib(await made.vmPid()));
    },
    async () => {
      const began = performance.now();
      await using made = await FloorVm.restore(bench.floor, bench.unique('one'), snapshot);
      samples.floor.push((await made.run(...firstOutputCommand)).firstByteAtMs - began);
      samples.floorMib.push(await privateMib(made.pid));
    },
  );
  return [
    {
      title: 'fork of a checkpoint to first output',
      unit: 'ms',
      ours: samples.ours,
      floor: samples.floor,
      floorDoes: startOne,
      target: timesFloor(1.5),
    },
    {
      title: 'memory of an awake fork',
      unit: 'MiB',
      ours: samples.oursMib,
      floor: samples.floorMib,
      floorDoes: 'Pss_Anon of the QEMU process after its first command',
    },
  ];
}

async function measureMany(bench: Bench, { sprite, checkpoint, snapshot }: Source): Promise<Row> {
  const [ours, floor]: [number[], number[]] = [[], []];
  await pairs(
    bench,
    { times: 3, limitMs: 60_000 },
    async () => {
      const stem = bench.unique('ten');
      const began = performance.now();
      const made = await bench.client.sprites.fork(sprite.name, { name: stem, checkpoint, count: atOnce });
      ours.push(
        ...(await Promise.all(made.map(async ({ name }) => (await firstOutputAt(bench.client, name)) - began))),
      );
      await Promise.all(made.map(({ name }) => bench.client.sprites.delete(name)));
    },
    async () => {
      const began = performance.now();
      const made = await Promise.allSettled(Array.from({ length: atOnce }, () => floorFork(bench, snapshot, began)));
      for (const one of made) if (one.status === 'fulfilled') await one.value.vm[Symbol.asyncDispose]();
      for (const one of made) {
        if (one.status === 'rejected') throw one.reason;
        floor.push(one.value.tookMs);
      }
    },
  );
  return {
    title: `fork, ${atOnce} at once, each to first output`,
    unit: 'ms',
    ours,
    floor,
    floorDoes: `${atOnce} times at once: ${startOne}`,
    target: timesFloor(1.5),
  };
}

async function floorFork(
  bench: Bench,
  snapshot: FloorSnapshot,
  began: number,
): Promise<{ vm: FloorVm; tookMs: number }> {
  await using stack = new AsyncDisposableStack();
  const vm = stack.use(await FloorVm.restore(bench.floor, bench.unique('fork'), snapshot));
  const tookMs = (await vm.run(...firstOutputCommand)).firstByteAtMs - began;
  stack.move();
  return { vm, tookMs };
}

async function measureRunning(bench: Bench, { sprite, vm }: Source): Promise<Row> {
  const [ours, floor]: [number[], number[]] = [[], []];
  await pairs(
    bench,
    { times: 6, limitMs: 35_000 },
    async () => {
      const name = bench.unique('live');
      const began = performance.now();
      await bench.client.sprites.fork(sprite.name, { name });
      ours.push((await firstOutputAt(bench.client, name)) - began);
      await bench.client.sprites.delete(name);
    },
    async () => {
      const snapshot = { dir: path.join(bench.floor.dir, bench.unique('live')) };
      const began = performance.now();
      await captureLive(vm, bench.floor.ramMib, snapshot);
      const { vm: made, tookMs } = await floorFork(bench, snapshot, began);
      floor.push(tookMs);
      await made[Symbol.asyncDispose]();
      await fs.rm(snapshot.dir, { recursive: true });
    },
  );
  return {
    title: 'fork of a running sprite to first output',
    unit: 'ms',
    ours,
    floor,
    floorDoes: `QEMU’s live migration into the splitter, with fsync; then ${startOne}`,
    target: timesFloor(1.5),
  };
}
