import { pairs, timed, type Figure } from '../bench.ts';
import { FloorVm } from '../floor/index.ts';
import { BenchSprite } from '../product/sprite.ts';

/** A file written to and read from a sprite. Both sides end with the file's bytes in the page cache of the guest. */
export const files: Figure = {
  name: 'files',
  async measure(bench) {
    const size = bench.quick ? 16_000_000 : 64_000_000;
    const content = Buffer.alloc(size, 'sylph');
    await using sprite = await BenchSprite.create(bench, bench.unique('files'));
    await using vm = await FloorVm.restore(bench.floor, bench.unique('files'), bench.genesis);
    await vm.run('sh', '-c', `head -c ${size} /dev/zero > /root/file`);
    const remote = bench.client.files(sprite.name);
    const samples = { write: [] as number[], read: [] as number[], floor: [] as number[] };
    const rate = (ms: number): number => size / 1e3 / ms;
    await pairs(
      bench,
      { times: 5, limitMs: 40_000 },
      async () => {
        samples.write.push(rate(await timed(() => remote.write('/home/sprite/file', content))));
        samples.read.push(
          rate(
            await timed(async () => {
              const back = await remote.readBytes('/home/sprite/file');
              if (!content.equals(back)) throw new Error('another file came back');
            }),
          ),
        );
      },
      async () => void samples.floor.push(rate(await timed(() => vm.run('cat', '/root/file')))),
    );
    const floorDoes = 'cat of such a file into one HTTP/2 response over virtio-serial, counted on the host';
    return [
      { title: 'file read', unit: 'MB/s', ours: samples.read, floor: samples.floor, floorDoes },
      {
        title: 'file written, fsynced',
        unit: 'MB/s',
        ours: samples.write,
        floor: [],
        floorDoes: 'nothing of the kind',
      },
    ];
  },
};
