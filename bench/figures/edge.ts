import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { promisify } from 'node:util';
import { Forward } from '@sylph/client';
import { pairs, timed, type Bench, type Figure } from '../bench.ts';
import { captureStopped, FloorVm } from '../floor/index.ts';
import { Caddy } from '../product/caddy.ts';
import type { LoadResult } from '../product/http-load.ts';
import { BenchSprite, firstOutputCommand } from '../product/sprite.ts';
import { shareOfFloor, timesFloor } from '../report/row.ts';

const run = promisify(execFile);
const loadProgram = path.join(import.meta.dirname, '../product/http-load.ts');
const port = 8080;
const connections = 8;
/** Answers small requests; `/N` with so many MiB; takes bodies whole. Its 32 threads are there from the start, so a wake makes none. */
const server = `
import socket, threading
zeros = bytes(1 << 20)
def serve(c):
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = b''
    while True:
        while b'\\r\\n\\r\\n' not in data:
            more = c.recv(65536)
            if not more: return c.close()
            data += more
        head, data = data.split(b'\\r\\n\\r\\n', 1)
        low = head.lower()
        if b'content-length: ' in low:
            left = int(low.split(b'content-length: ')[1].split(b'\\r')[0]) - len(data)
            while left > 0: left -= len(c.recv(min(left, 1 << 20)))
            data = b''
        n = int(head.split(b' ')[1][1:] or 0)
        if n == 0: c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello')
        else:
            c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n' % (n << 20))
            for _ in range(n): c.sendall(zeros)
s = socket.create_server(('127.0.0.1', ${port}), backlog=64)
print('ready', flush=True)
def loop():
    while True: serve(s.accept()[0])
for _ in range(31): threading.Thread(target=loop, daemon=True).start()
loop()
`;

/** A sprite's URL: small requests, large ones, and waking. Its rival is Caddy before the same server. */
export const edge: Figure = {
  name: 'edge',
  async measure(bench) {
    const mib = bench.quick ? 16 : 64;
    await using sprite = await BenchSprite.create(bench, bench.unique('edge'));
    const { url } = await bench.client.sprites.update(sprite.name, { url_settings: { auth: 'public' } });
    const { host, port: edgePort } = new URL(url);
    await using service = await bench.client.exec(sprite.name, { cmd: ['python3', '-c', server] });
    const said = service.output[Symbol.asyncIterator]();
    await said.next();
    await using forward = await Forward.listen(0, {
      client: bench.client,
      sprite: sprite.name,
      target: { port },
      failed: (reason) => bench.lost.push(`a connection of the forward: ${String(reason)}`),
    });
    await using caddy = await Caddy.before(forward.port);
    const ours = { port: Number(edgePort), host };
    const theirs = { port: caddy.port, host: 'localhost' };
    const samples = {
      rate: [] as number[],
      floorRate: [] as number[],
      latency: [] as number[],
      floorLatency: [] as number[],
      down: [] as number[],
      floorDown: [] as number[],
      up: [] as number[],
      floorUp: [] as number[],
    };
    await pairs(
      bench,
      { times: 6, limitMs: 60_000 },
      async () => void samples.rate.push((await load(ours, connections)).rate),
      async () => void samples.floorRate.push((await load(theirs, connections)).rate),
    );
    await pairs(
      bench,
      { times: 4, limitMs: 40_000 },
      async () => void samples.latency.push(...(await load(ours, 1)).latenciesMs),
      async () => void samples.floorLatency.push(...(await load(theirs, 1)).latenciesMs),
    );
    const speed = (ms: number): number => (mib * 2 ** 20) / 1e3 / ms;
    await pairs(
      bench,
      { times: 4, limitMs: 60_000 },
      async () => void samples.down.push(speed(await timed(() => transfer(ours, `/${mib}`)))),
      async () => void samples.floorDown.push(speed(await timed(() => transfer(theirs, `/${mib}`)))),
    );
    const body = Buffer.alloc(mib * 2 ** 20);
    await pairs(
      bench,
      { times: 4, limitMs: 60_000 },
      async () => void samples.up.push(speed(await timed(() => transfer(ours, '/', body)))),
      async () => void samples.floorUp.push(speed(await timed(() => transfer(theirs, '/', body)))),
    );
    const floorDoes = 'Caddy, which reaches the same server through a forwarded port of the sprite';
    return [
      {
        title: `requests to a URL, ${connections} at once`,
        unit: '/s',
        ours: samples.rate,
        floor: samples.floorRate,
        floorDoes,
        target: shareOfFloor(0.6),
      },
      { title: 'request to a URL', unit: 'ms', ours: samples.latency, floor: samples.floorLatency, floorDoes },
      { title: 'download from a URL', unit: 'MB/s', ours: samples.down, floor: samples.floorDown, floorDoes },
      { title: 'upload to a URL', unit: 'MB/s', ours: samples.up, floor: samples.floorUp, floorDoes },
      await wake(bench, sprite, ours),
    ];
  },
};

/** From a request to a sleeping sprite's URL to the first byte of its answer. */
async function wake(bench: Bench, sprite: BenchSprite, at: Address) {
  const ours: number[] = [];
  const floor: number[] = [];
  let vm = await FloorVm.restore(bench.floor, bench.unique('edge'), bench.genesis);
  await vm.run(...firstOutputCommand);
  try {
    await pairs(
      bench,
      { times: 15, limitMs: 80_000 },
      async () => {
        await bench.client.sprites.suspend(sprite.name);
        ours.push(await timed(() => transfer(at, '/')));
      },
      async () => {
        await vm.disconnect();
        const snapshot = { dir: path.join(bench.floor.dir, bench.unique('edge-rest')) };
        await captureStopped(vm, bench.floor.ramMib, snapshot);
        await vm.quit();
        const asleep = performance.now();
        const earlier = vm;
        vm = await FloorVm.restore(bench.floor, bench.unique('edge'), snapshot);
        floor.push((await vm.run(...firstOutputCommand)).firstByteAtMs - asleep);
        await earlier[Symbol.asyncDispose]();
        await fs.rm(snapshot.dir, { recursive: true });
      },
    );
  } finally {
    await vm[Symbol.asyncDispose]();
  }
  return {
    title: 'wake by a request, to its answer',
    unit: 'ms',
    ours,
    floor,
    floorDoes:
      'reflink the disk, start QEMU over the captured RAM and devices, cont, connect HTTP/2, run a command to its first output byte',
    target: timesFloor(1.3),
  };
}

/** Where requests go. */
interface Address {
  port: number;
  host: string;
}

/** Small requests over some connections, for two seconds, sent by a process of its own. */
async function load({ port, host }: Address, connections: number): Promise<LoadResult> {
  const { stdout } = await run(process.execPath, [loadProgram, String(port), host, '/', String(connections), '2000']);
  return JSON.parse(stdout) as LoadResult;
}

/** One request; resolves when its answer has come whole. */
function transfer({ port, host }: Address, target: string, body?: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const method = body === undefined ? 'GET' : 'POST';
    const length = body === undefined ? {} : { 'content-length': String(body.length) };
    const request = http.request(
      { host: '127.0.0.1', port, path: target, method, headers: { host, ...length }, agent: false },
      (response) => {
        if (response.statusCode !== 200) reject(new Error(`${host}${target} answered ${response.statusCode}`));
        response.resume();
        response.on('end', resolve);
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}
