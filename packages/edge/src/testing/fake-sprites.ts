import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import {
  GuestDialError,
  type GuestChannel,
  type GuestConnection,
  type OrgRow,
  type SpriteLease,
  type SpriteRow,
  type SpriteView,
} from '@sylph/engine';
import { SylphError, type GuestPort, type Service, type ServiceEvent } from '@sylph/model';

/** A sprite of a test: its ports lead to servers of this machine. */
export class FakeSprite {
  readonly row: SpriteRow;
  readonly org: OrgRow;
  state: SpriteView['state'] = 'asleep';
  /** Ports of this machine, by port inside. */
  readonly ports = new Map<number, number>();
  services: Service[] = [];
  /** What starting a service does. */
  onServiceStart: (name: string) => void = () => {};
  /** Runs before a wake ends: may wait or throw. */
  onWake: () => void | Promise<void> = () => {};
  wakes = 0;
  uses = 0;
  used = 0;
  dials = 0;
  serviceLists = 0;
  #channel: FakeChannel | undefined;
  #ended: FakeChannel | undefined;

  constructor(org: OrgRow, row: SpriteRow) {
    this.org = org;
    this.row = row;
  }

  get view(): SpriteView {
    return { row: this.row, org: this.org, state: this.state, status: 'running', agentVersion: null };
  }

  async wake(): Promise<GuestChannel> {
    const ended = this.#ended;
    this.#ended = undefined;
    if (ended !== undefined) return ended as unknown as GuestChannel;
    if (this.#channel === undefined) {
      this.wakes += 1;
      await this.onWake();
      this.#channel ??= new FakeChannel(this);
      this.state = 'running';
    }
    return this.#channel as unknown as GuestChannel;
  }

  /** It goes to sleep in the very moment of the next use, which still gets the channel that has ended. */
  sleepUnderUse(): void {
    this.#channel?.cut();
    this.#ended = this.#channel;
    this.#channel = undefined;
  }

  /** As when nobody used it for long: connections break. */
  sleep(): void {
    this.#channel?.cut();
    this.#channel = undefined;
    this.state = 'asleep';
  }
}

class FakeChannel {
  readonly #sprite: FakeSprite;
  readonly #sockets = new Set<net.Socket>();
  #over = false;

  constructor(sprite: FakeSprite) {
    this.#sprite = sprite;
  }

  readonly services = {
    list: async (): Promise<Service[]> => {
      this.#sprite.serviceLists += 1;
      return this.#sprite.services;
    },
    get: async (name: string): Promise<Service> =>
      this.#sprite.services.find((service) => service.name === name) as Service,
    start: async (name: string): Promise<AsyncIterable<ServiceEvent>> => {
      this.#sprite.onServiceStart(name);
      return (async function* () {
        const event: ServiceEvent = { type: 'complete', timestamp: 1 };
        yield event;
      })();
    },
  };

  async dial({ port }: { port: number }, { signal }: { signal: AbortSignal }): Promise<GuestConnection> {
    signal.throwIfAborted();
    if (this.#over) throw new SylphError('agent_failed', 'the channel is closed');
    this.#sprite.dials += 1;
    const local = this.#sprite.ports.get(port);
    if (local === undefined) throw new GuestDialError('ECONNREFUSED', `connection refused: 127.0.0.1:${port}`);
    const socket = net.connect({ port: local, host: '127.0.0.1', allowHalfOpen: true });
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
    if (socket.destroyed) throw new GuestDialError('ECONNREFUSED', `connection refused: 127.0.0.1:${port}`);
    return { target: `127.0.0.1:${port}`, stream: socket, reset: false };
  }

  async *watchPorts(): AsyncIterable<{ ports: GuestPort[] }> {
    yield { ports: [...this.#sprite.ports.keys()].map((port) => ({ port, address: '127.0.0.1', pid: 1 })) };
  }

  cut(): void {
    this.#over = true;
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** An engine without VMs. */
export class FakeSprites {
  readonly all = new Map<string, FakeSprite>();

  add(org: OrgRow, name: string, urlAuth: 'sprite' | 'public' = 'sprite'): FakeSprite {
    const now = new Date().toISOString();
    const sprite = new FakeSprite(org, {
      id: `sprite-${randomUUID()}`,
      orgId: org.id,
      name,
      createdAt: now,
      updatedAt: now,
      labels: [],
      urlAuth,
      privateAccess: 'admins',
      environment: {},
      shape: { cpus: 1, ramMib: 512, storageGb: 10 },
      idleTimeoutS: 30,
      imageName: 'minimal',
      imageDigest: 'ab'.repeat(32),
      uid: 1000 + this.all.size,
      parentSpriteId: null,
      parentCheckpoint: null,
      currentCheckpoint: null,
      nextCheckpoint: 0,
      nextSession: 1,
      lastState: 'new',
      reason: null,
      lastRunningAt: null,
      lastWarmingAt: null,
      lastStart: null,
    });
    this.all.set(`${org.id}/${name}`, sprite);
    return sprite;
  }

  async get(org: OrgRow, name: string): Promise<SpriteView> {
    return this.#find(org, name).view;
  }

  async use(org: OrgRow, name: string, { signal }: { signal?: AbortSignal } = {}): Promise<SpriteLease> {
    const sprite = this.#find(org, name);
    sprite.uses += 1;
    const left = new Promise<never>((_resolve, reject) =>
      signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
    );
    // Who leaves is told; the wake goes on.
    left.catch(() => {});
    const channel = await Promise.race([sprite.wake(), left]);
    return {
      view: sprite.view,
      sessions: undefined as never,
      channel,
      used: () => void (sprite.used += 1),
      [Symbol.dispose]: () => {},
    };
  }

  #find(org: OrgRow, name: string): FakeSprite {
    const sprite = this.all.get(`${org.id}/${name}`);
    if (sprite === undefined) throw new SylphError('sprite_not_found', 'sprite not found');
    return sprite;
  }
}
