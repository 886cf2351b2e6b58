import { randomUUID } from 'node:crypto';
import type {
  GuestChannel,
  OrgRow,
  SessionRequest,
  SpriteLease,
  SpriteRow,
  SpriteService,
  SpriteSessions,
  SpriteView,
} from '@sylph/engine';
import {
  nameTaken,
  SylphError,
  type Checkpoint,
  type CheckpointId,
  type CreateSpriteRequest,
  type ForkRequest,
  type PublicStatus,
  type UpdateSpriteRequest,
} from '@sylph/model';
import { FakePolicies } from './fake-policies.ts';
import { FakeSession } from './fake-session.ts';

/**
 * An engine without VMs, scripted by tests: sprites are rows in memory, sessions do what `onStart` tells. For the details of the wire: orders, failures, lost clients.
 */
export class FakeService implements SpriteService {
  readonly rows = new Map<string, SpriteRow>();
  readonly orgs = new Map<string, OrgRow>();
  readonly sessions = new Map<string, FakeSession>();
  readonly made: Checkpoint[] = [];
  readonly policies = new FakePolicies((org, name) => this.get(org, name));
  /** What was asked for, e.g. `create one`. */
  readonly calls: string[] = [];
  leases = 0;
  /** How often a lease was said to be used. */
  used = 0;
  /** What a new session does. */
  onStart: (session: FakeSession) => void | Promise<void> = () => {};
  /** Runs before every command: may throw or wait. */
  before: (call: string) => void | Promise<void> = () => {};
  #nextSession = 1;
  readonly #listeners = new Set<(name: string) => void>();

  async create(org: OrgRow, request: CreateSpriteRequest): Promise<SpriteView> {
    await this.#call(`create ${request.name}`);
    if (this.#find(org, request.name) !== undefined) {
      throw nameTaken(request.name);
    }
    const now = new Date().toISOString();
    const row: SpriteRow = {
      id: `sprite-${randomUUID()}`,
      orgId: org.id,
      name: request.name,
      createdAt: now,
      updatedAt: now,
      labels: request.labels ?? [],
      urlAuth: request.url_settings?.auth ?? 'sprite',
      privateAccess: request.url_settings?.private_access ?? 'admins',
      environment: request.environment ?? {},
      shape: {
        cpus: request.config?.cpus ?? 2,
        ramMib: request.config?.ram_mb ?? 2048,
        storageGb: request.config?.storage_gb ?? 20,
      },
      idleTimeoutS: request.idle_timeout_s ?? 30,
      imageName: 'minimal',
      imageDigest: 'ab'.repeat(32),
      uid: 1000 + this.rows.size,
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
    };
    this.rows.set(row.id, row);
    this.orgs.set(org.id, org);
    this.#changed(row.name);
    return this.#view(row);
  }

  async get(org: OrgRow, name: string): Promise<SpriteView> {
    await this.#call(`get ${name}`);
    return this.#view(this.#need(org, name));
  }

  async list(
    org: OrgRow,
    { prefix = '', after = '', limit }: { prefix?: string | undefined; after?: string | undefined; limit: number },
  ): Promise<SpriteView[]> {
    const all = [...this.rows.values()].filter(
      (row) => row.orgId === org.id && row.name.startsWith(prefix) && row.name > after,
    );
    return all
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .slice(0, limit)
      .map((row) => this.#view(row));
  }

  onChange(_org: OrgRow, heard: (name: string) => void): Disposable {
    this.#listeners.add(heard);
    return { [Symbol.dispose]: () => this.#listeners.delete(heard) };
  }

  #changed(name: string): void {
    for (const heard of this.#listeners) heard(name);
  }

  async counts(orgId?: string): Promise<Record<PublicStatus, number>> {
    const counts = { running: 0, warm: 0, cold: 0 };
    for (const row of this.rows.values())
      if (orgId === undefined || row.orgId === orgId) counts[this.#view(row).status]++;
    return counts;
  }

  async update(org: OrgRow, name: string, patch: UpdateSpriteRequest): Promise<SpriteView> {
    await this.#call(`update ${name}`);
    const row = this.#need(org, name);
    if (patch.labels !== undefined) row.labels = patch.labels;
    if (patch.clear_labels === true) row.labels = [];
    if (patch.url_settings?.auth !== undefined) row.urlAuth = patch.url_settings.auth;
    return this.#view(row);
  }

  async delete(org: OrgRow, name: string): Promise<void> {
    await this.#call(`delete ${name}`);
    this.rows.delete(this.#need(org, name).id);
    this.#changed(name);
  }

  start = (org: OrgRow, name: string): Promise<SpriteView> => this.#move(org, name, 'start', 'awake');
  suspend = (org: OrgRow, name: string): Promise<SpriteView> => this.#move(org, name, 'suspend', 'memory');
  restart = (org: OrgRow, name: string): Promise<SpriteView> => this.#move(org, name, 'restart', 'awake');
  upgrade = (org: OrgRow, name: string): Promise<SpriteView> => this.#move(org, name, 'upgrade', 'awake');
  recover = (org: OrgRow, name: string): Promise<SpriteView> => this.#move(org, name, 'recover', 'awake');

  async check(org: OrgRow, name: string): Promise<{ view: SpriteView; healthy: boolean; elapsedMs: number }> {
    await this.#call(`check ${name}`);
    return { view: this.#view(this.#need(org, name)), healthy: true, elapsedMs: 1.5 };
  }

  async fork(org: OrgRow, name: string, request: ForkRequest): Promise<SpriteView[]> {
    await this.#call(`fork ${name}`);
    const parent = this.#need(org, name);
    const names =
      request.count === undefined
        ? [request.name]
        : Array.from({ length: request.count }, (_, index) => `${request.name}-${index + 1}`);
    const views = [];
    for (const each of names) {
      const { row } = await this.create(org, { name: each });
      row.parentSpriteId = parent.id;
      views.push(this.#view(row));
    }
    return views;
  }

  async checkpoint(org: OrgRow, name: string, { comment }: { comment: string }): Promise<Checkpoint> {
    await this.#call(`checkpoint ${name}`);
    const row = this.#need(org, name);
    const checkpoint: Checkpoint = {
      id: `v${this.made.length}`,
      create_time: '2026-01-31T12:20:24.123Z',
      comment,
      history: row.currentCheckpoint === null ? [] : [row.currentCheckpoint],
      is_auto: false,
      source_id: row.currentCheckpoint,
      health: '',
      kind: 'memory',
      size_bytes: 4096,
    };
    this.made.unshift(checkpoint);
    row.currentCheckpoint = checkpoint.id;
    return checkpoint;
  }

  async checkpoints(org: OrgRow, name: string): Promise<Checkpoint[]> {
    this.#need(org, name);
    return [...this.made];
  }

  async getCheckpoint(org: OrgRow, name: string, id: CheckpointId): Promise<Checkpoint> {
    this.#need(org, name);
    const found = this.made.find((each) => each.id === id);
    if (found === undefined) throw new SylphError('checkpoint_not_found', `checkpoint not found: ${id}`);
    return found;
  }

  async deleteCheckpoint(org: OrgRow, name: string, id: CheckpointId): Promise<void> {
    await this.getCheckpoint(org, name, id);
    if (this.#need(org, name).currentCheckpoint === id)
      throw new SylphError('checkpoint_in_use', `the sprite stands on ${id}`);
    this.made.splice(
      this.made.findIndex((each) => each.id === id),
      1,
    );
  }

  async restore(
    org: OrgRow,
    name: string,
    id: CheckpointId,
    { mode }: { mode: 'memory' | 'disk' },
    progress: (message: string) => void,
  ): Promise<{ view: SpriteView; savedAs: CheckpointId }> {
    await this.#call(`restore ${name} ${id} ${mode}`);
    await this.getCheckpoint(org, name, id);
    progress('Saving the present');
    const row = this.#need(org, name);
    row.currentCheckpoint = id;
    return { view: this.#view(row), savedAs: 'auto-20260131-122024-ab12' };
  }

  async use(org: OrgRow, name: string): Promise<SpriteLease> {
    await this.#call(`use ${name}`);
    const row = this.#need(org, name);
    row.lastState = 'awake';
    this.leases++;
    return {
      view: this.#view(row),
      sessions: this.#sessions(),
      channel: undefined as never,
      used: () => void this.used++,
      [Symbol.dispose]: () => void this.leases--,
    };
  }

  async peekSessions(org: OrgRow, name: string): Promise<SpriteSessions | undefined> {
    await this.#call(`peek ${name}`);
    return this.#need(org, name).lastState === 'new' ? undefined : this.#sessions();
  }

  async peekChannel(org: OrgRow, name: string): Promise<GuestChannel | undefined> {
    this.#need(org, name);
    return undefined;
  }

  #sessions(): SpriteSessions {
    return {
      start: async (request: SessionRequest) => {
        const session = new FakeSession(String(this.#nextSession++), request);
        this.sessions.set(session.id, session);
        await this.onStart(session);
        return session;
      },
      list: () => [...this.sessions.values()].filter((session) => session.end === undefined),
      get: (id: string) => this.sessions.get(id),
    } as unknown as SpriteSessions;
  }

  async #move(org: OrgRow, name: string, verb: string, state: SpriteRow['lastState']): Promise<SpriteView> {
    await this.#call(`${verb} ${name}`);
    const row = this.#need(org, name);
    row.lastState = state;
    this.#changed(name);
    return this.#view(row);
  }

  async #call(call: string): Promise<void> {
    this.calls.push(call);
    await this.before(call);
  }

  #find(org: OrgRow, name: string): SpriteRow | undefined {
    return [...this.rows.values()].find((row) => row.orgId === org.id && row.name === name);
  }

  #need(org: OrgRow, name: string): SpriteRow {
    const row = this.#find(org, name);
    if (row === undefined) throw new SylphError('sprite_not_found', 'sprite not found');
    return row;
  }

  #view(row: SpriteRow): SpriteView {
    const awake = row.lastState === 'awake';
    const status = awake ? 'running' : row.lastState === 'memory' ? 'warm' : 'cold';
    return {
      row,
      org: this.orgs.get(row.orgId) as OrgRow,
      state: awake ? 'running' : 'asleep',
      status,
      agentVersion: row.lastState === 'new' ? null : '0.1.0',
    };
  }
}
