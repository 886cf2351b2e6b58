import fs from 'node:fs/promises';
import path from 'node:path';
import { pairs, type Figure } from '../bench.ts';
import { captureLive, captureStopped, FloorVm } from '../floor/index.ts';
import { BenchSprite, firstOutputCommand } from '../product/sprite.ts';
import { timesFloor } from '../report/row.ts';

/** Restore of a running sprite to first output. The present is kept by both before they leave it. */
export const restore: Figure = {
  name: 'restore',
  async measure(bench) {
    const [ours, floor]: [number[], number[]] = [[], []];
    await using sprite = await BenchSprite.create(bench, bench.unique('restore'));
    await sprite.firstOutputAt();
    const { id } = await bench.client.checkpoints.createAndWait(sprite.name);
    const past = { dir: path.join(bench.floor.dir, bench.unique('past')) };
    let vm = await FloorVm.restore(bench.floor, bench.unique('restore'), bench.genesis);
    try {
      await vm.run(...firstOutputCommand);
      await vm.disconnect();
      await captureLive(vm, bench.floor.ramMib, past);
      await pairs(
        bench,
        { times: 15, limitMs: 60_000 },
        async () => {
          const began = performance.now();
          await bench.client.checkpoints.restoreAndWait(sprite.name, id);
          ours.push((await sprite.firstOutputAt()) - began);
        },
        async () => {
          await vm.disconnect();
          const present = { dir: path.join(bench.floor.dir, bench.unique('present')) };
          const began = performance.now();
          await captureStopped(vm, bench.floor.ramMib, present);
          await vm.quit();
          const earlier = vm;
          vm = await FloorVm.restore(bench.floor, bench.unique('restore'), past);
          floor.push((await vm.run(...firstOutputCommand)).firstByteAtMs - began);
          await earlier[Symbol.asyncDispose]();
          await fs.rm(present.dir, { recursive: true });
        },
      );
    } finally {
      await vm[Symbol.asyncDispose]();
      await fs.rm(past.dir, { recursive: true, force: true });
    }
    const floorDoes =
      'stop and capture the present with fsync, quit, then reflink, start QEMU from the checkpoint, cont, connect HTTP/2, run the command to its first output byte';
    return [{ title: 'restore to first output', unit: 'ms', ours, floor, floorDoes, target: timesFloor(1.5) }];
  },
};
