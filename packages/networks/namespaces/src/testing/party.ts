import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import path from 'node:path';
import readline from 'node:readline';
import { namespaceFile } from '../tools.ts';

/** A program of a test that lives in a namespace: {@link actor.ts} under its control. Failures of what it is told to do are `Error`s with the system's code as message. */
export class Party implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #next = 1;

  /** Absent: in our own namespace. */
  constructor(namespace?: string) {
    const program = [process.execPath, path.join(import.meta.dirname, 'actor.ts')];
    const where = namespace === undefined ? [] : ['nsenter', `--net=${namespaceFile(namespace)}`];
    const [command = '', ...args] = [...where, ...program];
    this.#child = spawn(command, args);
    this.#child.stderr.pipe(process.stderr);
    readline.createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const { id, result, error } = JSON.parse(line) as { id: number; result?: unknown; error?: string };
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(error));
    });
  }

  /** Serves TCP and UDP on a port of an address, such as `0.0.0.0`. */
  serve(address: string, port: number): Promise<unknown> {
    return this.#order({ op: 'serve', address, port });
  }

  /** Connects; the server's greeting tells who it sees. */
  dial(address: string, port: number): Promise<{ socket: number; greeting: string }> {
    return this.#order({ op: 'dial', address, port }) as Promise<{ socket: number; greeting: string }>;
  }

  /** Has something echoed over a connection. */
  say(socket: number, text: string): Promise<string> {
    return this.#order({ op: 'say', socket, text }) as Promise<string>;
  }

  /** Has a datagram echoed. */
  ask(address: string, port: number, text = 'x'): Promise<string> {
    return this.#order({ op: 'ask', address, port, text }) as Promise<string>;
  }

  resolve(name: string, type: 'A' | 'AAAA' = 'A', server = '10.0.0.2'): Promise<string[]> {
    return this.#order({ op: 'resolve', name, type, server }) as Promise<string[]>;
  }

  resolveOverTcp(name: string): Promise<string[]> {
    return this.#order({ op: 'resolve-tcp', name }) as Promise<string[]>;
  }

  /** Has a server send to whoever connected last, until that fails; how it did. */
  push(): Promise<string> {
    return this.#order({ op: 'push' }) as Promise<string>;
  }

  /** Datagrams its servers got. */
  received(): Promise<string[]> {
    return this.#order({ op: 'received' }) as Promise<string[]>;
  }

  /** How reaching for something ended: `reached`, or the system's code. */
  async tries(address: string, port: number, protocol: 'tcp' | 'udp' = 'tcp'): Promise<string> {
    try {
      await (protocol === 'tcp' ? this.dial(address, port) : this.ask(address, port));
      return 'reached';
    } catch (error) {
      return (error as Error).message;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.stdin.end();
    await gone;
  }

  #order(order: Record<string, unknown>): Promise<unknown> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.stdin.write(`${JSON.stringify({ id, ...order })}\n`);
    });
  }
}
