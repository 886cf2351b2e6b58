import type { SylphClient } from '@sylph/client';
import path from 'node:path';
import type { Bench } from '../bench.ts';
import { vmsBelow } from './daemon.ts';

/** Command whose first output ends most figures, for product and floor alike. */
export const firstOutputCommand = ['echo', 'ready'];

/** A sprite that never sleeps by itself. Dispose: deletes it. */
export class BenchSprite implements AsyncDisposable {
  readonly name: string;
  readonly #bench: Bench;
  readonly #id: string;

  private constructor(bench: Bench, name: string, id: string) {
    this.#bench = bench;
    this.name = name;
    this.#id = id;
  }

  static async create(bench: Bench, name: string): Promise<BenchSprite> {
    const { id } = await bench.client.sprites.create({ name, idle_timeout_s: 0 });
    return new BenchSprite(bench, name, id);
  }

  /** One that exists, such as a fork. */
  static async of(bench: Bench, name: string): Promise<BenchSprite> {
    return new BenchSprite(bench, name, (await bench.client.sprites.get(name)).id);
  }

  get client(): SylphClient {
    return this.#bench.client;
  }

  /** Directory of its snapshots, VMs and journals. */
  get dir(): string {
    return path.join(this.#bench.poolDir, 'sprites', this.#id);
  }

  /** Time until a command's first output arrived, on `performance.now()`; waits for its end too. */
  async firstOutputAt(): Promise<number> {
    return firstOutputAt(this.client, this.name);
  }

  /** Hypervisors that run for it. */
  vmPids(): Promise<number[]> {
    return vmsBelow(this.dir);
  }

  async vmPid(): Promise<number> {
    const [pid] = await this.vmPids();
    if (pid === undefined) throw new Error(`${this.name} has no VM`);
    return pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.sprites.delete(this.name);
  }
}

/** See {@link BenchSprite.firstOutputAt}. */
export async function firstOutputAt(client: SylphClient, name: string): Promise<number> {
  await using session = await client.exec(name, { cmd: firstOutputCommand });
  let atMs = 0;
  for await (const _ of session.output) atMs ||= performance.now();
  const { code } = await session.exit;
  if (code !== 0 || atMs === 0)
    throw new Error(`${firstOutputCommand.join(' ')} ended with ${code} and ${atMs === 0 ? 'no' : 'some'} output`);
  return atMs;
}
