import { pairs, type Figure } from '../bench.ts';
import { FloorVm } from '../floor/index.ts';
import { BenchSprite } from '../product/sprite.ts';
import { shareOfFloor } from '../report/row.ts';

/** Output of a command over the exec socket. */
export const stream: Figure = {
  name: 'stream',
  async measure(bench) {
    const size = bench.quick ? 50_000_000 : 200_000_000;
    const command = ['head', '-c', String(size), '/dev/zero'];
    await using sprite = await BenchSprite.create(bench, bench.unique('stream'));
    await using vm = await FloorVm.restore(bench.floor, bench.unique('stream'), bench.genesis);
    const [ours, floor]: [number[], number[]] = [[], []];
    const rate = (received: number, began: number): number => {
      if (received !== size) throw new Error(`${received} of ${size} bytes arrived`);
      return size / 1e3 / (performance.now() - began);
    };
    await pairs(
      bench,
      { times: 7, limitMs: 40_000 },
      async () => {
        const began = performance.now();
        await using session = await bench.client.exec(sprite.name, { cmd: command });
        let received = 0;
        for await (const { bytes } of session.output) received += bytes.length;
        await session.exit;
        ours.push(rate(received, began));
      },
      async () => {
        const began = performance.now();
        floor.push(rate((await vm.run(...command)).sizeBytes, began));
      },
    );
    const floorDoes = 'the command’s pipe copied into one HTTP/2 response over virtio-serial, counted on the host';
    return [{ title: 'exec stream throughput', unit: 'MB/s', ours, floor, floorDoes, target: shareOfFloor(0.7) }];
  },
};
