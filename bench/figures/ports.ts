import { pairs, timed, type Bench, type Figure } from '../bench.ts';
import { FloorVm } from '../floor/index.ts';
import { BenchSprite } from '../product/sprite.ts';
import { shareOfFloor } from '../report/row.ts';

const port = 9000;
/** Answers each connection's first line, a number, with so many MiB of zeros; 0: with one byte. */
const server = `
import socket
s = socket.create_server(('127.0.0.1', ${port}))
zeros = bytes(1 << 20)
print('ready', flush=True)
while True:
    c, _ = s.accept()
    n = int(c.recv(64))
    if n == 0: c.sendall(b'x')
    for _ in range(n): c.sendall(zeros)
    c.close()
`;

/** A TCP connection through the proxy: bytes from a service, and one request from dial to answer. */
export const ports: Figure = {
  name: 'ports',
  async measure(bench) {
    const mib = bench.quick ? 32 : 128;
    await using sprite = await BenchSprite.create(bench, bench.unique('ports'));
    await using vm = await FloorVm.restore(bench.floor, bench.unique('ports'), bench.genesis);
    await using service = await bench.client.exec(sprite.name, { cmd: ['python3', '-c', server] });
    const said = service.output[Symbol.asyncIterator]();
    await said.next();
    const samples = {
      rate: [] as number[],
      floor: [] as number[],
      latency: [] as number[],
      floorLatency: [] as number[],
    };
    const rate = (sizeBytes: number, ms: number): number => sizeBytes / 1e3 / ms;
    await pairs(
      bench,
      { times: 5, limitMs: 40_000 },
      async () => {
        const ms = await timed(() => receive(bench, sprite.name, mib));
        samples.rate.push(rate(mib * 2 ** 20, ms));
      },
      async () => {
        const ms = await timed(() => vm.run('head', '-c', String(mib * 2 ** 20), '/dev/zero'));
        samples.floor.push(rate(mib * 2 ** 20, ms));
      },
    );
    await pairs(
      bench,
      { times: 50, limitMs: 15_000 },
      async () => void samples.latency.push(await timed(() => receive(bench, sprite.name, 0))),
      async () => void samples.floorLatency.push(await timed(async () => (await vm.agent()).request('GET', '/ping'))),
    );
    return [
      {
        title: 'proxy throughput',
        unit: 'MB/s',
        ours: samples.rate,
        floor: samples.floor,
        floorDoes: 'the command’s pipe copied into one HTTP/2 response over virtio-serial, counted on the host',
        target: shareOfFloor(0.7),
      },
      {
        title: 'proxy, connection to first byte',
        unit: 'ms',
        ours: samples.latency,
        floor: samples.floorLatency,
        floorDoes: 'one HTTP/2 request on a standing connection, without a service behind it',
      },
    ];
  },
};

/** Asks the service for so many MiB, or one byte, and reads to the end. */
async function receive(bench: Bench, sprite: string, mib: number): Promise<void> {
  await using connection = await bench.client.dial(sprite, { port });
  await connection.write(new TextEncoder().encode(`${mib}\n`));
  let received = 0;
  for await (const bytes of connection.input) received += bytes.length;
  const wanted = mib === 0 ? 1 : mib * 2 ** 20;
  if (received !== wanted) throw new Error(`${received} of ${wanted} bytes arrived`);
}
