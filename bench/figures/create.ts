import { pairs, type Figure } from '../bench.ts';
import { FloorVm } from '../floor/index.ts';
import { BenchSprite, firstOutputCommand } from '../product/sprite.ts';
import { timesFloor } from '../report/row.ts';

/** Create to first output. Floor: a VM started from the floor's own genesis. */
export const create: Figure = {
  name: 'create',
  async measure(bench) {
    const [ours, floor]: [number[], number[]] = [[], []];
    await pairs(
      bench,
      { times: 20, limitMs: 50_000 },
      async () => {
        const began = performance.now();
        await using sprite = await BenchSprite.create(bench, bench.unique('create'));
        ours.push((await sprite.firstOutputAt()) - began);
      },
      async () => {
        const began = performance.now();
        await using vm = await FloorVm.restore(bench.floor, bench.unique('create'), bench.genesis);
        floor.push((await vm.run(...firstOutputCommand)).firstByteAtMs - began);
      },
    );
    const floorDoes =
      'reflink the disk, start QEMU over RAM and devices of a prepared VM, cont, connect HTTP/2, run the command to its first output byte';
    return [{ title: 'create to first output', unit: 'ms', ours, floor, floorDoes, target: timesFloor(1.5) }];
  },
};
