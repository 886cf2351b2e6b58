import { Forward, isPortMessage, type PortTarget, type ServerMessage, type SylphClient } from '@sylph/client';
import { describe } from '../failure.ts';
import { printable } from '../output/style.ts';

/** Most ports of one command that are forwarded. */
const maxForwards = 32;

/** Forwards the ports that a command opens while it runs: the same port here if it is free, else another. Dispose it when the command has ended. */
export class AutoForward implements AsyncDisposable {
  readonly #client: SylphClient;
  readonly #sprite: string;
  readonly #remark: (text: string) => void;
  readonly #forwards = new Map<string, Promise<Forward | undefined>>();
  /** Forwarded because somebody asked for them, whoever listens on them. */
  readonly #asked = new Set<number>();
  #over = false;

  constructor(options: { client: SylphClient; sprite: string; remark: (text: string) => void }) {
    this.#client = options.client;
    this.#sprite = options.sprite;
    this.#remark = options.remark;
  }

  /** Takes a message of the command's connection; those that are not about ports mean nothing. */
  heard(message: ServerMessage): void {
    if (this.#over || !isPortMessage(message)) return;
    const { type, port, address } = message;
    if (this.#asked.has(port)) return;
    const key = `${address} ${port}`;
    const known = this.#forwards.get(key);
    if (type === 'port_closed') {
      this.#forwards.delete(key);
      void known?.then((forward) => forward?.[Symbol.asyncDispose]());
    } else if (known === undefined && this.#forwards.size < maxForwards) {
      this.#forwards.set(key, this.#forward({ host: address, port }));
    }
  }

  /** Forwards ports that are not forwarded yet, until the end. Resolves when those that can be are. */
  async ask(ports: readonly number[]): Promise<void> {
    for (const port of ports) {
      const known = [...this.#forwards.keys()].some((key) => key.endsWith(` ${port}`));
      if (this.#over || known || this.#forwards.size >= maxForwards) continue;
      this.#asked.add(port);
      this.#forwards.set(`localhost ${port}`, this.#forward({ host: 'localhost', port }));
    }
    await Promise.all(this.#forwards.values());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    const forwards = await Promise.all(this.#forwards.values());
    for (const forward of forwards) await forward?.[Symbol.asyncDispose]();
  }

  /** Undefined when nothing can be listened on here. */
  async #forward(target: PortTarget & { port: number }): Promise<Forward | undefined> {
    const failed = (reason: unknown): void =>
      this.#remark(
        `sylph: a connection to port ${target.port} of ${this.#sprite} failed: ${printable(describe(reason).message)}`,
      );
    const options = { client: this.#client, sprite: this.#sprite, target, failed };
    try {
      // In use, or not for everybody: another does as well.
      const forward = await Forward.listen(target.port, options).catch(() => Forward.listen(0, options));
      const why = forward.port === target.port ? '' : ` (${target.port} is taken here)`;
      this.#remark(`sylph: 127.0.0.1:${forward.port} → port ${target.port} of ${this.#sprite}${why}`);
      return forward;
    } catch (thrown) {
      this.#remark(`sylph: port ${target.port} of ${this.#sprite} cannot be forwarded: ${String(thrown)}`);
      return undefined;
    }
  }
}
