import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { guestMac } from '@sylph/engine';
import { ipBatch, namespaceFile, runTool } from '../tools.ts';
import { Party } from './party.ts';

let cableProgram: Promise<string> | undefined;

/** Builds the program that carries frames, once. Its directory is the caller's to remove: {@link removeCable}. */
function cable(): Promise<string> {
  cableProgram ??= (async () => {
    const file = path.join(await fs.mkdtemp(path.join(os.tmpdir(), 'cable-')), 'cable');
    const environment = [
      'HOME=/root',
      `PATH=${process.env['PATH']}`,
      `GOCACHE=${path.join(os.homedir(), '.cache/go-build')}`,
    ];
    await runTool('env', [...environment, 'go', 'build', '-o', file, path.join(import.meta.dirname, 'cable.go')]);
    return file;
  })();
  return cableProgram;
}

export async function removeCable(): Promise<void> {
  if (cableProgram) await fs.rm(path.dirname(await cableProgram), { recursive: true });
}

/** A guest for tests: a namespace that has what a sprite's kernel has, plugged into slots by {@link plug} as a hypervisor does. */
export class Guest implements AsyncDisposable {
  readonly namespace: string;
  readonly party: Party;
  #cable: ChildProcessWithoutNullStreams | undefined;

  private constructor(namespace: string) {
    this.namespace = namespace;
    this.party = new Party(namespace);
  }

  static async open(name: string): Promise<Guest> {
    await ipBatch([`netns add ${name}`]);
    await runTool('nsenter', [
      `--net=${namespaceFile(name)}`,
      'sh',
      '-c',
      'echo 0 > /proc/sys/net/ipv6/conf/default/dad_transmits; echo 0 > /proc/sys/net/ipv6/conf/default/accept_ra',
    ]);
    await ipBatch(
      [
        'link set lo up',
        'tuntap add name spr0 mode tap',
        `link set spr0 address ${guestMac}`,
        'link set spr0 up',
        'addr add 10.0.0.1/24 dev spr0',
        'addr add fdf::1/64 dev spr0 nodad',
        'route add default via 10.0.0.2',
        'route add default via fdf::2',
      ],
      name,
    );
    return new Guest(name);
  }

  /** Process of the card, as a VM's is its hypervisor's: in the slot's namespace. */
  get pid(): number {
    return this.#cable?.pid as number;
  }

  /** Starts the card in a slot, and waits until it carries. */
  async plug(namespace: string): Promise<void> {
    const program = await cable();
    this.#cable = spawn('nsenter', [`--net=${namespace}`, program, namespace, namespaceFile(this.namespace)]);
    this.#cable.stderr.pipe(process.stderr);
    await once(this.#cable.stdout, 'data');
  }

  /** Ends the card, as the hypervisor's end does. */
  async unplug(): Promise<void> {
    const card = this.#cable;
    this.#cable = undefined;
    if (!card) return;
    card.kill('SIGKILL');
    await once(card, 'close');
  }

  /** Sends a frame of any kind. */
  send(frame: Buffer): void {
    this.#cable?.stdin.write(`${frame.toString('hex')}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unplug();
    await this.party[Symbol.asyncDispose]();
    await ipBatch([`netns del ${this.namespace}`]);
  }
}
