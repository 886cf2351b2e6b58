import fs from 'node:fs/promises';
import path from 'node:path';
import { pairs, type Figure } from '../bench.ts';
import { captureStopped, FloorVm } from '../floor/index.ts';
import { BenchSprite, firstOutputCommand } from '../product/sprite.ts';
import { timesFloor } from '../report/row.ts';

/** Suspend, and wake to first output by simply running a command. */
export const sleepAndWake: Figure = {
  name: 'sleep',
  async measure(bench) {
    const samples = {
      suspend: [] as number[],
      wake: [] as number[],
      floorSuspend: [] as number[],
      floorWake: [] as number[],
    };
    await using sprite = await BenchSprite.create(bench, bench.unique('sleep'));
    await sprite.firstOutputAt();
    let vm = await FloorVm.restore(bench.floor, bench.unique('sleep'), bench.genesis);
    await vm.run(...firstOutputCommand);
    try {
      await pairs(
        bench,
        { times: 20, limitMs: 80_000 },
        async () => {
          const began = performance.now();
          await bench.client.sprites.suspend(sprite.name);
          const asleep = performance.now();
          samples.suspend.push(asleep - began);
          samples.wake.push((await sprite.firstOutputAt()) - asleep);
        },
        async () => {
          await vm.disconnect();
          const snapshot = { dir: path.join(bench.floor.dir, bench.unique('rest')) };
          const began = performance.now();
          await captureStopped(vm, bench.floor.ramMib, snapshot);
          await vm.quit();
          const asleep = performance.now();
          samples.floorSuspend.push(asleep - began);
          const earlier = vm;
          vm = await FloorVm.restore(bench.floor, bench.unique('sleep'), snapshot);
          samples.floorWake.push((await vm.run(...firstOutputCommand)).firstByteAtMs - asleep);
          await earlier[Symbol.asyncDispose]();
          await fs.rm(snapshot.dir, { recursive: true });
        },
      );
    } finally {
      await vm[Symbol.asyncDispose]();
    }
    return [
      {
        title: 'suspend',
        unit: 'ms',
        ours: samples.suspend,
        floor: samples.floorSuspend,
        floorDoes: 'stop, device state, reflinks of disk and RAM, changed pages, fsync of all three, quit',
      },
      {
        title: 'wake to first output',
        unit: 'ms',
        ours: samples.wake,
        floor: samples.floorWake,
        floorDoes:
          'reflink the disk, start QEMU over the captured RAM and devices, cont, connect HTTP/2, run the command to its first output byte',
        target: timesFloor(1.5),
      },
    ];
  },
};
