import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ControlAndDataChannels } from '@sylph/channel';
import type { GuestChannel, OrgRow, SpriteLease, SpriteSessions } from '@sylph/engine';
import { JournalKeeper } from '@sylph/sessions';
import { FakeService } from './fake-service.ts';

const agentSource = fileURLToPath(new URL('../../../../../agent', import.meta.url));
const deadlineMs = 20_000;

/**
 * An engine without VMs whose sessions are real: the guest's agent runs here, over Unix sockets, and real journals stand between its processes and the clients. One sprite's worth: all names share them.
 */
export class AgentService extends FakeService implements AsyncDisposable {
  readonly #dir: string;
  readonly #agent: ChildProcess;
  readonly #channel: GuestChannel;
  readonly #sessions: SpriteSessions;
  /** Stands for /home/sprite, which this machine has not. */
  readonly home: string;

  constructor(dir: string, agent: ChildProcess, channel: GuestChannel, sessions: SpriteSessions) {
    super();
    this.#dir = dir;
    this.#agent = agent;
    this.#channel = channel;
    this.#sessions = sessions;
    this.home = join(dir, 'home');
  }

  static async open(): Promise<AgentService> {
    const dir = await mkdtemp(join(tmpdir(), 'sylph-agent-'));
    await mkdir(join(dir, 'home'));
    await mkdir(join(dir, 'ports'));
    await promisify(execFile)('go', ['build', '-o', join(dir, 'agent'), '.'], { cwd: agentSource });
    const agent = spawn(join(dir, 'agent'), ['-serve-unix', join(dir, 'ports')], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const sockets = { data: join(dir, 'ports/data'), control: join(dir, 'ports/control') };
    const channel = await new ControlAndDataChannels().connect(sockets, {
      deadlineMs,
      signal: AbortSignal.timeout(deadlineMs),
    });
    await channel.open({ deadlineMs });
    let nextId = 1;
    const keeper = new JournalKeeper({ log: { warn: () => {} }, notify: async () => {} });
    const sessions = await keeper.open({
      spriteId: 'one',
      dir: join(dir, 'sessions'),
      nextId: async () => String(nextId++),
      onActivity: () => {},
    });
    await sessions.connect(channel);
    return new AgentService(dir, agent, channel, sessions);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sessions[Symbol.asyncDispose]();
    await this.#channel.close();
    const exited = once(this.#agent, 'exit');
    this.#agent.kill();
    await exited;
    await rm(this.#dir, { recursive: true });
  }

  override async use(org: OrgRow, name: string): Promise<SpriteLease> {
    const lease = await super.use(org, name);
    const sessions: SpriteSessions = Object.create(this.#sessions, {
      start: {
        value: (request: Parameters<SpriteSessions['start']>[0]) =>
          this.#sessions.start({ ...request, dir: request.dir.replace(/^\/home\/sprite(?=\/|$)/, this.home) }),
      },
      get: { value: (id: string) => this.#sessions.get(id) },
    });
    return {
      view: lease.view,
      sessions,
      channel: this.#channel,
      used: () => lease.used(),
      [Symbol.dispose]: () => lease[Symbol.dispose](),
    };
  }

  override async peekChannel(org: OrgRow, name: string): Promise<GuestChannel | undefined> {
    return (await this.get(org, name)).state === 'running' ? this.#channel : undefined;
  }

  override async peekSessions(org: OrgRow, name: string): Promise<SpriteSessions | undefined> {
    await super.peekSessions(org, name);
    return this.#sessions;
  }
}
