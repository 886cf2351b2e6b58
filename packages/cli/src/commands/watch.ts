import { setTimeout as sleep } from 'node:timers/promises';
import { ClientError, type SpriteChange, type SylphClient } from '@sylph/client';
import type { Sprite } from '@sylph/model';
import type { Context } from '../context.ts';

/** Shortest time between two drawings. */
const shortestMs = 250;
/** Ages change by themselves: a terminal is redrawn this often at least. */
const longestMs = 1000;
/** Beyond so many new sprites at once, one list tells more than a question about each. */
const mostQuestions = 10;

/** Shows the sprites and then each change, until Ctrl+C: redrawn on a terminal, one table after the other elsewhere, the server's lines with `--json`. */
export async function watchSprites(
  context: Context,
  client: SylphClient,
  prefix: string | undefined,
  human: (sprites: Sprite[]) => string | Promise<string>,
): Promise<never> {
  if (context.out.json) {
    for await (const change of client.sprites.watch({ prefix })) await context.out.result(change, () => '');
    throw new ClientError('connection_lost', 'the server ended the watch');
  }
  const board = new Board(client, prefix);
  await context.out.waiting('waiting for the list', () => board.read());
  const watching = board.watch();
  let last: string | undefined;
  for (;;) {
    const shown = await Promise.race([board.sprites(), watching]);
    const text = JSON.stringify(shown);
    if (text !== last || process.stdout.isTTY)
      await context.out.result(
        shown,
        async () => `${process.stdout.isTTY ? '\x1b[H\x1b[2J' : ''}${await human(shown)}`,
      );
    last = text;
    await sleep(shortestMs);
    await Promise.race([board.changed(), sleep(longestMs - shortestMs), watching]);
  }
}

/** The sprites as they were told of last. A watch tells of states only: what is new is asked for. */
class Board {
  readonly #client: SylphClient;
  readonly #prefix: string | undefined;
  readonly #sprites = new Map<string, Sprite>();
  /** Told of and not known yet. */
  readonly #unknown = new Set<string>();
  #change = Promise.withResolvers<void>();

  constructor(client: SylphClient, prefix: string | undefined) {
    this.#client = client;
    this.#prefix = prefix;
  }

  /** Asks for all. */
  async read(): Promise<void> {
    const all = await Array.fromAsync(this.#client.sprites.list({ prefix: this.#prefix }));
    this.#sprites.clear();
    for (const sprite of all) this.#sprites.set(sprite.name, sprite);
    this.#unknown.clear();
  }

  /** Listens to changes until that fails. */
  async watch(): Promise<never> {
    for await (const change of this.#client.sprites.watch({ prefix: this.#prefix })) this.#apply(change);
    throw new ClientError('connection_lost', 'the server ended the watch');
  }

  /** Resolves with the next change, or at once when there was one since the sprites were asked for. */
  changed(): Promise<void> {
    return this.#change.promise;
  }

  /** By name; what is new is asked for first. */
  async sprites(): Promise<Sprite[]> {
    this.#change = Promise.withResolvers();
    const unknown = [...this.#unknown];
    if (unknown.length > mostQuestions) await this.read();
    else for (const name of unknown) await this.#ask(name);
    return [...this.#sprites.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  async #ask(name: string): Promise<void> {
    try {
      const sprite = await this.#client.sprites.get(name);
      if (this.#unknown.delete(name)) this.#sprites.set(name, sprite);
    } catch (thrown) {
      // Gone again: the watch tells that too.
      if (!(thrown instanceof ClientError) || thrown.status !== 404) throw thrown;
      this.#unknown.delete(name);
    }
  }

  #apply({
    type,
    name,
    status,
    state,
    running_version: version,
    last_running_at,
    last_warming_at,
  }: SpriteChange): void {
    if (name === undefined) return;
    const known = this.#sprites.get(name);
    if (type === 'deleted') {
      this.#unknown.delete(name);
      if (!this.#sprites.delete(name)) return;
    } else if (known === undefined) this.#unknown.add(name);
    else {
      const told = { status, state, version, last_running_at, last_warming_at };
      Object.assign(known, Object.fromEntries(Object.entries(told).filter(([, value]) => value !== undefined)));
    }
    this.#change.resolve();
  }
}
