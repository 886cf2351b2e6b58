import fs from 'node:fs/promises';
import path from 'node:path';
import { pairs, type Bench, type Figure } from '../bench.ts';
import { captureStopped, FloorVm } from '../floor/index.ts';
import { ownBytes } from '../product/disk-usage.ts';
import { BenchSprite, firstOutputCommand } from '../product/sprite.ts';
import { atMost } from '../report/row.ts';

const mega = 1e6;

/** What a sleeping sprite costs: processes, and bytes on disk beyond the pages and blocks that changed since its genesis. */
export const rest: Figure = {
  name: 'rest',
  async measure(bench) {
    const samples = {
      processes: [] as number[],
      extra: [] as number[],
      changed: [] as number[],
      floorExtra: [] as number[],
      floorChanged: [] as number[],
    };
    const genesis = await genesisDir(bench);
    await pairs(
      bench,
      { times: 3, limitMs: 30_000 },
      async () => {
        await using sprite = await BenchSprite.create(bench, bench.unique('rest'));
        await sprite.firstOutputAt();
        await bench.client.sprites.suspend(sprite.name);
        samples.processes.push((await sprite.vmPids()).length);
        const bytes = await ownBytes(sprite.dir, genesis);
        samples.extra.push((bytes.allocated - bytes.changed) / mega);
        samples.changed.push(bytes.changed / mega);
      },
      async () => {
        const snapshot = { dir: path.join(bench.floor.dir, bench.unique('rest')) };
        {
          await using vm = await FloorVm.restore(bench.floor, bench.unique('rest'), bench.genesis);
          await vm.run(...firstOutputCommand);
          await vm.disconnect();
          await captureStopped(vm, bench.floor.ramMib, snapshot);
        }
        const bytes = await ownBytes(snapshot.dir, bench.genesis.dir);
        samples.floorExtra.push((bytes.allocated - bytes.changed) / mega);
        samples.floorChanged.push(bytes.changed / mega);
        await fs.rm(snapshot.dir, { recursive: true });
      },
    );
    const unshared = 'blocks of disk, RAM and device files that no other file shares';
    return [
      {
        title: 'processes of a sleeping sprite',
        unit: '',
        ours: samples.processes,
        floor: [],
        floorDoes: 'none',
        target: atMost(0, 'processes'),
      },
      {
        title: 'disk of a sleeping sprite beyond changes',
        unit: 'MB',
        ours: samples.extra,
        floor: samples.floorExtra,
        floorDoes: `${unshared}, less those that differ from the genesis`,
        target: atMost(2, 'MB'),
      },
      {
        title: 'disk of a sleeping sprite, changed pages',
        unit: 'MB',
        ours: samples.changed,
        floor: samples.floorChanged,
        floorDoes: 'pages and disk blocks that differ from the genesis, after one command',
      },
    ];
  },
};

/** The one genesis of the daemon under test. */
async function genesisDir(bench: Bench): Promise<string> {
  const dir = path.join(bench.poolDir, 'genesis');
  const [key, ...others] = await fs.readdir(dir);
  if (key === undefined || others.length > 0) throw new Error(`one genesis was expected in ${dir}`);
  return path.join(dir, key);
}
