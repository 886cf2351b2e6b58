import { pairs, type Figure } from '../bench.ts';
import { FloorVm } from '../floor/index.ts';
import { BenchSprite } from '../product/sprite.ts';

const command = ['sh', '-c', 'echo ready; exec sleep 3600'];

/** Attach to a running command, to the first byte of what it said before. */
export const attach: Figure = {
  name: 'attach',
  async measure(bench) {
    await using sprite = await BenchSprite.create(bench, bench.unique('attach'));
    await using vm = await FloorVm.restore(bench.floor, bench.unique('attach'), bench.genesis);
    const session = await bench.client.exec(sprite.name, { cmd: command, maxRunAfterDisconnectMs: 0 });
    for await (const _ of session.output) break;
    session.detach();
    await session.exit.catch(() => undefined); // detached on purpose
    const agent = await vm.agent();
    const id = (
      await agent.request(
        'POST',
        '/start',
        command.map((word) => ['argv', word]),
      )
    ).text;
    while ((await agent.request('GET', '/attach', [['id', id]])).sizeBytes === 0);
    const [ours, floor]: [number[], number[]] = [[], []];
    await pairs(
      bench,
      { times: 100, limitMs: 15_000 },
      async () => {
        const began = performance.now();
        await using attached = await bench.client.attach(sprite.name, session.id);
        for await (const _ of attached.output) break;
        ours.push(performance.now() - began);
      },
      async () => {
        const began = performance.now();
        floor.push((await agent.request('GET', '/attach', [['id', id]])).firstByteAtMs - began);
      },
    );
    return [
      {
        title: 'attach to first output',
        unit: 'ms',
        ours,
        floor,
        floorDoes: 'one HTTP/2 request on a standing connection for the output kept in the guest, to its first byte',
      },
    ];
  },
};
