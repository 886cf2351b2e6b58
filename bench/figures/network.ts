import path from 'node:path';
import { SylphClient } from '@sylph/client';
import { pairs, timed, type Bench, type Figure } from '../bench.ts';
import { BenchDaemon } from '../product/daemon.ts';
import { BenchSprite, firstOutputAt } from '../product/sprite.ts';
import { timesFloor, type Row } from '../report/row.ts';

/** What network namespaces cost a wake, and how soon a policy is in force. */
export const network: Figure = {
  name: 'network',
  async measure(bench) {
    await using sprite = await BenchSprite.create(bench, bench.unique('network'));
    await sprite.firstOutputAt();
    return [await policy(bench, sprite), await wake(bench, sprite)];
  },
};

/** From the request that changes a policy to its answer, at which it is in force: a running sprite's rules are replaced each time. */
async function policy(bench: Bench, sprite: BenchSprite): Promise<Row> {
  const ours: number[] = [];
  const { policies } = bench.client;
  const set = (index: number): Promise<unknown> =>
    policies.setNetwork(sprite.name, { rules: [{ domain: `host-${index}.example.com`, action: 'allow' }] });
  await pairs(
    bench,
    { times: 30, limitMs: 20_000 },
    async (index) => void ours.push(await timed(() => set(index))),
    async () => undefined,
  );
  await policies.resetNetwork(sprite.name);
  return { title: 'policy change, in force', unit: 'ms', ours, floor: [], floorDoes: '' };
}

/** Wakes of two daemons: the sprites of one have network namespaces, the other has user-mode networking. */
async function wake(bench: Bench, sprite: BenchSprite): Promise<Row> {
  const ours: number[] = [];
  const floor: number[] = [];
  const dataDir = path.join(bench.floor.dir, '..', bench.unique('user-mode'));
  await using daemon = await BenchDaemon.start(dataDir, { network: 'user' });
  const client = new SylphClient({ baseUrl: daemon.url, token: daemon.token });
  const { name } = await client.sprites.create({ name: bench.unique('network'), idle_timeout_s: 0 });
  await firstOutputAt(client, name);
  await pairs(
    bench,
    { times: 20, limitMs: 80_000 },
    async () => void ours.push(await wakeOnce(bench.client, sprite.name)),
    async () => void floor.push(await wakeOnce(client, name)),
  );
  return {
    title: 'wake in a network namespace',
    unit: 'ms',
    ours,
    floor,
    floorDoes: 'the same sprite under a daemon with user-mode networking',
    target: timesFloor(1.05),
  };
}

async function wakeOnce(client: SylphClient, name: string): Promise<number> {
  await client.sprites.suspend(name);
  const asleep = performance.now();
  return (await firstOutputAt(client, name)) - asleep;
}
