import { pairs, timed, type Figure } from '../bench.ts';
import { FloorVm } from '../floor/index.ts';
import { BenchSprite } from '../product/sprite.ts';
import { aboveFloor } from '../report/row.ts';

const command = ['true'];

/** Exec round trips to an awake sprite: a new WebSocket, or a POST, for each. Floor: a stream on a standing HTTP/2 session. */
export const exec: Figure = {
  name: 'exec',
  async measure(bench) {
    await using sprite = await BenchSprite.create(bench, bench.unique('exec'));
    await using vm = await FloorVm.restore(bench.floor, bench.unique('exec'), bench.genesis);
    const samples = { socket: [] as number[], post: [] as number[], floor: [] as number[], floorPost: [] as number[] };
    const onFloor = async (into: number[]): Promise<void> => void into.push(await timed(() => vm.run(...command)));
    const bySocket = async (): Promise<void> =>
      void samples.socket.push(await timed(() => bench.client.run(sprite.name, { cmd: command })));
    const byPost = async (): Promise<void> =>
      void samples.post.push(await timed(() => bench.client.runHttp(sprite.name, { cmd: command })));
    // The first of each pays for what is loaded once.
    for (let warmUp = 0; warmUp < 3; warmUp++)
      await Promise.all([bench.client.run(sprite.name, { cmd: command }), vm.run(...command)]);
    await bench.client.runHttp(sprite.name, { cmd: command });
    await pairs(bench, { times: 200, limitMs: 30_000 }, bySocket, () => onFloor(samples.floor));
    await pairs(bench, { times: 50, limitMs: 15_000 }, byPost, () => onFloor(samples.floorPost));
    const floorDoes = 'one HTTP/2 request on a standing connection that runs the command, to its exit code';
    return [
      {
        title: 'exec round trip, WebSocket',
        unit: 'ms',
        ours: samples.socket,
        floor: samples.floor,
        floorDoes,
        target: aboveFloor(5, 'ms'),
      },
      { title: 'exec round trip, HTTP POST', unit: 'ms', ours: samples.post, floor: samples.floorPost, floorDoes },
    ];
  },
};
