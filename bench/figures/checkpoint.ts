import fs from 'node:fs/promises';
import path from 'node:path';
import { pairs, sleep, type Bench, type Figure } from '../bench.ts';
import { captureLive, FloorVm } from '../floor/index.ts';
import { PauseWatch, probeToken, type Stall } from '../product/pause-watch.ts';
import { BenchSprite } from '../product/sprite.ts';
import { atMost, type Row } from '../report/row.ts';

const probePath = '/tmp/probe';
/** For what a capture leaves behind to settle: the next pair starts even. */
const settleMs = 300;

/** Checkpoints of a running sprite in which a process counts: total, and how long that process stood still. */
export const checkpoint: Figure = {
  name: 'checkpoint',
  async measure(bench) {
    const rows: Row[] = [];
    for (const megabytes of bench.quick ? [100] : [100, 400, 1500]) rows.push(...(await measureSize(bench, megabytes)));
    return rows;
  },
};

interface Side extends Stall {
  totalMs: number;
}

async function measureSize(bench: Bench, megabytes: number): Promise<Row[]> {
  bench.say(`  ${megabytes} MB changed`);
  const [ours, floor]: [Side[], Side[]] = [[], []];
  const idle: number[] = [];
  await using product = await ProductSide.start(bench, megabytes);
  await using bare = await FloorSide.start(bench, megabytes);
  await pairs(
    bench,
    { times: 12, limitMs: 50_000 },
    async () => {
      ours.push(await product.checkpoint());
    },
    async () => {
      const side = await bare.checkpoint();
      floor.push(side);
      idle.push((await bare.nothing(side.totalMs)).stallMs);
    },
  );
  const title = `checkpoint, ${megabytes} MB changed`;
  const pick = (sides: Side[], key: 'totalMs' | 'stallMs' | 'frozenMs'): number[] => sides.map((side) => side[key]);
  const migration =
    'QEMU’s own live migration, split into a RAM file and device state without comparing pages, disk reflink';
  return [
    {
      title: `${title}: total`,
      unit: 'ms',
      ours: pick(ours, 'totalMs'),
      floor: pick(floor, 'totalMs'),
      floorDoes: `${migration}; fsync of all three`,
    },
    {
      title: `${title}: VM paused`,
      unit: 'ms',
      ours: pick(ours, 'frozenMs'),
      floor: pick(floor, 'frozenMs'),
      floorDoes: 'the same; how far the guest’s clock fell behind the host’s',
      target: atMost(15, 'ms'),
    },
    {
      title: `${title}: process stalled`,
      unit: 'ms',
      ours: pick(ours, 'stallMs'),
      floor: pick(floor, 'stallMs'),
      floorDoes:
        'the same; longest time a process in the guest did not get on, waits of its virtual CPU for a busy host included',
    },
    {
      title: `${title}: stalled anyway`,
      unit: 'ms',
      ours: [],
      floor: idle,
      floorDoes: 'as the line before, over as long a time without a checkpoint',
    },
  ];
}

/** A sprite with a probe in it; it counts only while it is measured, so that the other side has the machine. */
class ProductSide implements AsyncDisposable {
  readonly #bench: Bench;
  readonly #sprite: BenchSprite;
  readonly #watch: PauseWatch;
  #previous: string | undefined;

  private constructor(bench: Bench, sprite: BenchSprite, watch: PauseWatch) {
    this.#bench = bench;
    this.#sprite = sprite;
    this.#watch = watch;
  }

  static async start(bench: Bench, megabytes: number): Promise<ProductSide> {
    await using stack = new AsyncDisposableStack();
    const sprite = stack.use(await BenchSprite.create(bench, bench.unique('checkpoint')));
    await bench.client.run(sprite.name, {
      cmd: ['sh', '-c', `cat > ${probePath} && chmod +x ${probePath}`],
      input: bench.probe,
    });
    const token = probeToken();
    const session = await bench.client.exec(sprite.name, {
      cmd: [probePath, String(megabytes), token],
      maxRunAfterDisconnectMs: 0,
    });
    for await (const _ of session.output) break;
    session.detach();
    await session.exit.catch(() => undefined); // detached on purpose
    const watch = stack.use(new PauseWatch(await sprite.vmPid(), bench.floor.ramMib, token));
    const side = new ProductSide(bench, sprite, watch);
    await side.#signal('STOP');
    stack.move();
    return side;
  }

  async checkpoint(): Promise<Side> {
    await this.#signal('CONT');
    await sleep(settleMs);
    let totalMs = 0;
    let id = '';
    const stall = await this.#watch.during(async () => {
      const began = performance.now();
      ({ id } = await this.#bench.client.checkpoints.createAndWait(this.#sprite.name));
      totalMs = performance.now() - began;
    });
    await this.#signal('STOP');
    // Only the one before: the sprite's present descends from the newest.
    if (this.#previous !== undefined) await this.#bench.client.checkpoints.delete(this.#sprite.name, this.#previous);
    this.#previous = id;
    return { totalMs, ...stall };
  }

  async #signal(name: string): Promise<void> {
    const { exitCode } = await this.#bench.client.run(this.#sprite.name, { cmd: ['pkill', `-${name}`, '-x', 'probe'] });
    if (exitCode !== 0) throw new Error('the probe is gone');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watch[Symbol.asyncDispose]();
    await this.#sprite[Symbol.asyncDispose]();
  }
}

/** The same with a bare VM. It is paused as a whole while the product is measured. */
class FloorSide implements AsyncDisposable {
  readonly #bench: Bench;
  readonly #vm: FloorVm;
  readonly #watch: PauseWatch;

  private constructor(bench: Bench, vm: FloorVm, watch: PauseWatch) {
    this.#bench = bench;
    this.#vm = vm;
    this.#watch = watch;
  }

  static async start(bench: Bench, megabytes: number): Promise<FloorSide> {
    await using stack = new AsyncDisposableStack();
    const vm = stack.use(await FloorVm.restore(bench.floor, bench.unique('checkpoint'), bench.genesis));
    const agent = await vm.agent();
    await agent.request('PUT', '/file', [['path', probePath]], bench.probe);
    const token = probeToken();
    const argv = [probePath, String(megabytes), token].map((word): [string, string] => ['argv', word]);
    const { text: id } = await agent.request('POST', '/start', argv);
    while ((await agent.request('GET', '/attach', [['id', id]])).sizeBytes === 0) await sleep(50);
    const watch = stack.use(new PauseWatch(vm.pid, bench.floor.ramMib, token));
    await vm.disconnect();
    await vm.qmp.command('stop');
    stack.move();
    return new FloorSide(bench, vm, watch);
  }

  async checkpoint(): Promise<Side> {
    await this.#vm.qmp.command('cont');
    await sleep(settleMs);
    const snapshot = { dir: path.join(this.#bench.floor.dir, this.#bench.unique('checkpoint')) };
    let totalMs = 0;
    const stall = await this.#watch.during(async () => {
      const began = performance.now();
      await captureLive(this.#vm, this.#bench.floor.ramMib, snapshot);
      totalMs = performance.now() - began;
    });
    await fs.rm(snapshot.dir, { recursive: true });
    return { totalMs, ...stall };
  }

  /** What the probe suffers without a checkpoint; pauses the VM again. */
  async nothing(forMs: number): Promise<Stall> {
    const stall = await this.#watch.during(() => sleep(Math.min(forMs, 3_000)));
    await this.#vm.qmp.command('stop');
    return stall;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watch[Symbol.asyncDispose]();
    await this.#vm[Symbol.asyncDispose]();
  }
}
