import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { SylphClient } from '@sylph/client';
import type { Bench } from './bench.ts';
import {
  buildFloorGuest,
  buildGo,
  captureStopped,
  FloorVm,
  type FloorMachine,
  type FloorSnapshot,
} from './floor/index.ts';
import { shell } from './floor/shell.ts';
import { BenchDaemon } from './product/daemon.ts';

/** Sparse size of the file system everything happens on. */
const poolBytes = 60 * 2 ** 30;
const bootDeadlineMs = 60_000;

/** A file system of its own with a daemon and bare VMs side by side on it. Dispose: ends them, unmounts and removes it. */
export class Environment implements AsyncDisposable {
  readonly bench: Bench;
  readonly accelerator: string;
  readonly #stack: AsyncDisposableStack;

  private constructor(bench: Bench, accelerator: string, stack: AsyncDisposableStack) {
    this.bench = bench;
    this.accelerator = accelerator;
    this.#stack = stack;
  }

  static async open(options: {
    quick: boolean;
    say: (text: string) => void;
    signal: AbortSignal;
  }): Promise<Environment> {
    const { quick, say, signal } = options;
    await using stack = new AsyncDisposableStack();
    const pool = await mountPool(stack);
    say('starting a daemon and its image');
    const dataDir = path.join(pool, 'data');
    const daemon = stack.use(await BenchDaemon.start(dataDir));
    const client = new SylphClient({ baseUrl: daemon.url, token: daemon.token });
    say('booting the VM sprites start from');
    const { config } = await client.sprites.create({ name: 'bench-first' });
    await client.sprites.delete('bench-first');
    const { accelerator } = await client.host();
    say('booting the VM the floor starts from');
    const poolDir = path.join(dataDir, 'pool');
    const floor = await floorMachine(pool, poolDir, {
      cpus: config.cpus,
      ramMib: config.ram_mb,
      accelerator: accelerator.kind,
    });
    stack.defer(async () => void (await Promise.all([...floor.live].map((vm) => vm[Symbol.asyncDispose]()))));
    const genesis = await floorGenesis(floor);
    const probe = await fs.readFile(await buildGo(path.join(import.meta.dirname, 'probe'), path.join(pool, 'probe')));
    let given = 0;
    const unique = (stem: string): string => `${stem}-${++given}`;
    const bench: Bench = {
      client,
      daemonPid: daemon.pid,
      poolDir,
      floor,
      genesis,
      probe,
      quick,
      unique,
      say,
      lost: [],
      signal,
    };
    return new Environment(bench, accelerator.kind, stack.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** An XFS file, mounted as the product mounts its own. */
async function mountPool(stack: AsyncDisposableStack): Promise<string> {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'sylph-bench-'));
  stack.defer(() => fs.rm(dir, { recursive: true, force: true }));
  await fs.chmod(dir, 0o711);
  const file = path.join(dir, 'pool.xfs');
  const pool = path.join(dir, 'pool');
  await fs.mkdir(pool);
  await fs.writeFile(file, '');
  await fs.truncate(file, poolBytes);
  await shell('mkfs.xfs', ['-q', '-m', 'reflink=1', file]);
  const device = (await shell('losetup', ['--find', '--show', '--direct-io=on', file])).trim();
  try {
    await shell('mount', ['-t', 'xfs', '-o', 'noatime', device, pool]);
  } finally {
    // The mount keeps the device; with this it goes away by itself on unmount.
    await shell('losetup', ['--detach', device]);
  }
  stack.defer(async () => void (await shell('umount', [pool])));
  await fs.chmod(pool, 0o711);
  return pool;
}

async function floorMachine(
  pool: string,
  poolDir: string,
  shape: Pick<FloorMachine, 'cpus' | 'ramMib' | 'accelerator'>,
): Promise<FloorMachine> {
  const dir = path.join(pool, 'floor');
  await fs.mkdir(dir);
  const only = async (shelf: string): Promise<string> => {
    const [name, ...others] = (await fs.readdir(path.join(poolDir, shelf))).filter((entry) =>
      /^[0-9a-f]{64}$/.test(entry),
    );
    if (name === undefined || others.length > 0)
      throw new Error(`one directory was expected in ${path.join(poolDir, shelf)}`);
    return path.join(poolDir, shelf, name);
  };
  const guest = await buildFloorGuest({
    guestDir: await only('guests'),
    disk: path.join(await only('images'), 'rootfs.img'),
    outDir: pool,
  });
  return { dir, guest, live: new Set(), ...shape };
}

/** Boots, warms up and captures as the product does for its own, so that both start from the same caches. */
async function floorGenesis(floor: FloorMachine): Promise<FloorSnapshot> {
  await using vm = await FloorVm.boot(floor, 'boot', { deadlineMs: bootDeadlineMs });
  for (const shell of ['/bin/sh', '/bin/bash']) await vm.run(shell, '-c', 'true');
  await (await vm.agent()).request('POST', '/sync');
  await vm.disconnect();
  const snapshot = { dir: path.join(floor.dir, 'genesis') };
  await captureStopped(vm, floor.ramMib, snapshot);
  return snapshot;
}
