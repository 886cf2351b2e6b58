import { randomUUID } from 'node:crypto';

import { SylphError, type Checkpoint, type CheckpointId, type CreateSpriteRequest, type ForkRequest, type PublicStatus, type SpriteId, type UpdateSpriteRequest } from '@sylph/model';
import { restingState, SpriteActor, viewOf } from './actor/actor.ts';
import type { EngineDeps } from './deps.ts';
import { GenesisLibrary } from './genesis.ts';
import { shapeFrom } from './host-limits.ts';
import type { Snapshot } from './interfaces/pool-store.ts';
import type { CheckpointRow, OrgRow, SpriteRow } from './interfaces/repository.ts';
import type { SpriteSessions } from './interfaces/session-keeper.ts';
import type { CaptureReport } from './interfaces/vm-driver.ts';
import { checkpointSprite, removeCheckpoint } from './operations/checkpoint.ts';
import { deleteSprite } from './operations/delete.ts';
import { openOrigin } from './operations/fork.ts';
import { restartSprite } from './operations/restart.ts';
import { restoreSprite } from './operations/restore.ts';
import { startSprite } from './operations/start.ts';
import { suspendSprite } from './operations/suspend.ts';
import { recoverSprite } from './recovery.ts';
import type { Progress, SpriteLease, SpriteService, SpriteView } from './service.ts';

/** Deadline of the agent's answer to `check`. */
const checkDeadlineMs = 10_000;
/** Wakes tried for one use: a sprite may be put to sleep again between its wake and the use. */
const wakesPerUse = 3;

/** {@link SpriteService}: finds or makes the actor of a sprite and hands it the command. */
export class Sprites implements SpriteService {
  readonly #deps: EngineDeps;
  readonly #genesis: GenesisLibrary;
  /** Actors of sprites that are awake or have a command under way. */
  readonly #actors = new Map<SpriteId, SpriteActor>();
  #closing = false;

  constructor(deps: EngineDeps) {
    this.#deps = deps;
    this.#genesis = new GenesisLibrary(deps);
  }

  /** Sweeps the pool and finds out what became of sprites the last daemon left awake. Call once, before anything else. Returns notices for the log and the person. */
  async open(): Promise<string[]> {
    const { store, repository } = this.#deps;
    const sprites = new Set<string>();
    for await (const id of repository.spriteIds()) sprites.add(id);
    const { notices } = await store.sweep({ sprites, checkpoints: async (id) => new Set((await repository.checkpoints(id)).map((row) => row.id)) });
    const left = (await repository.awakeSprites()).values();
    await Promise.all(
      Array.from({ length: this.#deps.options.parallelism }, async () => {
        for (const row of left) notices.push(...(await this.#recoverOne(row)));
      }),
    );
    return notices;
  }

  async #recoverOne(row: SpriteRow): Promise<string[]> {
    const org = await this.#deps.repository.org(row.orgId);
    if (!org) return [`${row.name}: its organization is missing`];
    const actor = this.#adopt(row, org);
    try {
      const notice = await actor.enqueue(undefined, () => recoverSprite(actor));
      return notice === undefined ? [] : [notice];
    } catch (error) {
      actor.log.error({ err: error }, 'sprite could not be recovered');
      return [`${row.name}: could not be recovered: ${SylphError.from(error).message}`];
    } finally {
      this.#release(actor);
    }
  }

  /** Boots the genesis of the default image and shape, so that the first create need not wait. */
  async prepare(): Promise<void> {
    const image = await this.#deps.catalog.image();
    if (image) await this.#genesis.get(image, shapeFrom({}, Number.POSITIVE_INFINITY));
  }

  /** Ends the engine: awake sprites are put to sleep, or left running for the next daemon to adopt. */
  async close(how: 'suspend' | 'leave'): Promise<void> {
    this.#closing = true;
    const actors = [...this.#actors.values()].values();
    await Promise.all(
      Array.from({ length: this.#deps.options.parallelism }, async () => {
        for (const actor of actors) await this.#closeOne(actor, how).catch((error: unknown) => actor.log.error({ err: error }, 'sprite could not be put to sleep; it is left running'));
      }),
    );
    this.#actors.clear();
  }

  async #closeOne(actor: SpriteActor, how: 'suspend' | 'leave'): Promise<void> {
    await actor.enqueue(undefined, async () => {
      if (actor.awake && how === 'suspend') await suspendSprite(actor, { reason: null, then: 'asleep' }).catch((error: unknown) => actor.log.error({ err: error }, 'sprite could not be put to sleep; it is left running'));
      const { awake } = actor;
      if (awake) {
        awake.watch.abort();
        await (await actor.sessions()).disconnect();
        await awake.channel.close();
        awake.vm.release();
      }
      await actor.closeSessions();
    });
  }

  async create(org: OrgRow, request: CreateSpriteRequest): Promise<SpriteView> {
    const { repository, catalog, store } = this.#deps;
    if (await repository.spriteByName(org.id, request.name)) throw nameTaken(request.name);
    if (request.from && 'sprite' in request.from) {
      const { sprite, checkpoint } = request.from;
      if (request.config && Object.values(request.config).some((value) => value !== undefined)) {
        throw new SylphError('invalid_size', 'a sprite made from another sprite has its size; config cannot be given as well', { hint: 'Leave config out.' });
      }
      const [view] = await this.#forkInto(org, sprite, checkpoint, [request.name], request);
      return view as SpriteView;
    }
    const image = await catalog.image(request.from?.image);
    if (!image) {
      const name = request.from?.image;
      throw new SylphError('image_not_found', name === undefined ? 'no image has been built yet' : `there is no image ${name}`, { hint: `Build it with: sylphd image build ${name ?? 'minimal'}` });
    }
    const shape = shapeFrom(request.config ?? {}, (await store.capacity()).totalBytes);
    const genesis = await this.#genesis.get(image, shape);
    return this.#insert(org, request.name, genesis, { request, parent: undefined });
  }

  async get(org: OrgRow, name: string): Promise<SpriteView> {
    return this.#viewOf(await this.#row(org, name), org);
  }

  async list(org: OrgRow, query: { prefix?: string | undefined; after?: string | undefined; limit: number }): Promise<SpriteView[]> {
    const rows = await this.#deps.repository.listSprites({ orgId: org.id, ...query });
    return rows.map((row) => this.#viewOf(row, org));
  }

  async counts(orgId?: string): Promise<Record<PublicStatus, number>> {
    const rows = await this.#deps.repository.countSprites(orgId);
    return { running: rows.awake, warm: rows.memory, cold: rows.new + rows.disk + rows.failed };
  }

  async update(org: OrgRow, name: string, patch: UpdateSpriteRequest): Promise<SpriteView> {
    return this.#with(org, name, async (actor) => {
      await actor.update({
        ...(patch.url_settings?.auth === undefined ? {} : { urlAuth: patch.url_settings.auth }),
        ...(patch.url_settings?.private_access === undefined ? {} : { privateAccess: patch.url_settings.private_access }),
        ...(patch.clear_labels ? { labels: [] } : {}),
        ...(patch.labels === undefined ? {} : { labels: patch.labels }),
        ...(patch.idle_timeout_s === undefined ? {} : { idleTimeoutS: patch.idle_timeout_s }),
        updatedAt: new Date().toISOString(),
      });
      actor.onActivity();
      return actor.view;
    });
  }

  async delete(org: OrgRow, name: string): Promise<void> {
    await this.#with(org, name, (actor) => actor.command('delete', { join: true }, () => deleteSprite(actor)));
  }

  start(org: OrgRow, name: string): Promise<SpriteView> {
    return this.#with(org, name, (actor) => this.#wake(actor, 'start'));
  }

  suspend(org: OrgRow, name: string): Promise<SpriteView> {
    return this.#with(org, name, (actor) =>
      actor.command('suspend', { join: true, noop: () => actor.view }, async () => {
        await suspendSprite(actor, { reason: null, then: 'asleep' });
        return actor.view;
      }),
    );
  }

  restart(org: OrgRow, name: string): Promise<SpriteView> {
    return this.#with(org, name, (actor) =>
      actor.command('restart', { join: true }, async () => {
        await restartSprite(actor, { reason: 'the sprite was restarted' });
        return actor.view;
      }),
    );
  }

  upgrade(org: OrgRow, name: string): Promise<SpriteView> {
    return this.#with(org, name, (actor) =>
      actor.command('upgrade', { join: true }, async () => {
        const guest = await this.#deps.catalog.guest();
        await restartSprite(actor, { reason: 'the sprite was upgraded', guestDigest: guest.digest });
        return actor.view;
      }),
    );
  }

  recover(org: OrgRow, name: string): Promise<SpriteView> {
    return this.#with(org, name, (actor) => this.#wake(actor, 'recover'));
  }

  async check(org: OrgRow, name: string): Promise<{ view: SpriteView; healthy: boolean; reason?: string; elapsedMs: number }> {
    const row = await this.#row(org, name);
    const began = performance.now();
    const actor = this.#actors.get(row.id);
    const view = this.#viewOf(row, org);
    if (!actor?.awake) {
      const healthy = view.state !== 'failed';
      return { view, healthy, ...(row.reason === null ? {} : { reason: row.reason }), elapsedMs: performance.now() - began };
    }
    try {
      await actor.awake.channel.ping({ deadlineMs: checkDeadlineMs });
      return { view, healthy: true, elapsedMs: performance.now() - began };
    } catch (error) {
      return { view, healthy: false, reason: SylphError.from(error).message, elapsedMs: performance.now() - began };
    }
  }

  async fork(org: OrgRow, name: string, request: ForkRequest): Promise<SpriteView[]> {
    const names = request.count === undefined ? [request.name] : Array.from({ length: request.count }, (_, index) => `${request.name}-${index + 1}`);
    return this.#forkInto(org, name, request.checkpoint, names, { labels: request.labels });
  }

  async checkpoint(org: OrgRow, name: string, options: { comment: string }): Promise<{ checkpoint: Checkpoint; report: CaptureReport | undefined }> {
    return this.#with(org, name, async (actor) => {
      const { row, report } = await actor.command('checkpoint', { join: false }, () => checkpointSprite(actor, options));
      return { checkpoint: await this.#checkpointView(row), report };
    });
  }

  async checkpoints(org: OrgRow, name: string): Promise<Checkpoint[]> {
    const row = await this.#row(org, name);
    const rows = await this.#deps.repository.checkpoints(row.id);
    const byId = new Map(rows.map((checkpoint) => [checkpoint.id, checkpoint]));
    return rows.map((checkpoint) => checkpointView(checkpoint, byId));
  }

  async getCheckpoint(org: OrgRow, name: string, id: CheckpointId): Promise<Checkpoint> {
    const found = (await this.checkpoints(org, name)).find((checkpoint) => checkpoint.id === id);
    if (!found) throw checkpointNotFound(name, id);
    return found;
  }

  async deleteCheckpoint(org: OrgRow, name: string, id: CheckpointId): Promise<void> {
    await this.#with(org, name, (actor) =>
      actor.enqueue(undefined, async () => {
        if (!(await this.#deps.repository.checkpoint(actor.id, id))) throw checkpointNotFound(name, id);
        if (actor.row.currentCheckpoint === id) {
          throw new SylphError('checkpoint_in_use', `the present of ${name} descends from checkpoint ${id}`, { hint: 'Make a newer checkpoint or restore another one first.' });
        }
        await removeCheckpoint(actor, id);
      }),
    );
  }

  async restore(org: OrgRow, name: string, id: CheckpointId, options: { mode: 'memory' | 'disk' }, progress: Progress): Promise<{ view: SpriteView; savedAs: CheckpointId }> {
    return this.#with(org, name, async (actor) => {
      const savedAs = await actor.command('restore', { join: false }, () => restoreSprite(actor, id, options, progress));
      return { view: actor.view, savedAs };
    });
  }

  async use(org: OrgRow, name: string, options: { signal?: AbortSignal } = {}): Promise<SpriteLease> {
    const row = await this.#row(org, name);
    const actor = this.#actors.get(row.id) ?? this.#adopt(row, org);
    // The lease is taken before the wake: it keeps the actor and, once awake, the sprite from going away under it.
    actor.leases++;
    let released = false;
    const release = (): void => {
      if (released) return;
      released = true;
      actor.leases--;
      actor.lastUseAt = performance.now();
      actor.onActivity();
      this.#release(actor);
    };
    try {
      for (let wake = 1; actor.state !== 'running' || !actor.awake; wake++) {
        if (wake > wakesPerUse) throw new SylphError('illegal_state', `sprite ${name} was put to sleep while it was being used`);
        await withAbort(this.#wake(actor, 'use'), options.signal);
      }
      const { awake } = actor;
      return { view: actor.view, sessions: await actor.sessions(), channel: awake.channel, [Symbol.dispose]: release };
    } catch (error) {
      release();
      throw error;
    }
  }

  async peekSessions(org: OrgRow, name: string): Promise<SpriteSessions | undefined> {
    const row = await this.#row(org, name);
    if (row.lastState === 'new' || row.lastState === 'disk') return undefined;
    const actor = this.#actors.get(row.id);
    if (actor) return actor.sessions();
    return this.#with(org, name, (opened) => opened.sessions());
  }

  async #forkInto(org: OrgRow, name: string, checkpoint: CheckpointId | undefined, names: string[], request: Partial<CreateSpriteRequest>): Promise<SpriteView[]> {
    for (const wanted of names) if (await this.#deps.repository.spriteByName(org.id, wanted)) throw nameTaken(wanted);
    return this.#with(org, name, (actor) =>
      actor.command('fork', { join: false }, async () => {
        await using origin = await openOrigin(actor, checkpoint);
        const made: SpriteView[] = [];
        try {
          for (const wanted of names) {
            made.push(await this.#insert(org, wanted, origin.snapshot, { request: { ...request, name: wanted }, parent: { row: actor.row, checkpoint: origin.checkpoint } }));
            await this.#deps.failpoints.hit('fork.one-created');
          }
        } catch (error) {
          for (const view of made) await this.delete(org, view.row.name);
          throw error;
        }
        return made;
      }),
    );
  }

  /** Files first, row last: a daemon that dies in between leaves files the sweep removes. */
  async #insert(org: OrgRow, name: string, snapshot: Snapshot, how: { request: Partial<CreateSpriteRequest>; parent: { row: SpriteRow; checkpoint: CheckpointId | null } | undefined }): Promise<SpriteView> {
    const { store, repository, failpoints, options } = this.#deps;
    const { request, parent } = how;
    const id: SpriteId = `sprite-${randomUUID()}`;
    await store.createSprite(id, snapshot);
    try {
      await failpoints.hit('create.before-row');
      const now = new Date().toISOString();
      const row = await repository.insertSprite(
        {
          id,
          orgId: org.id,
          name,
          createdAt: now,
          updatedAt: now,
          labels: request.labels ?? parent?.row.labels ?? [],
          urlAuth: request.url_settings?.auth ?? 'sprite',
          privateAccess: request.url_settings?.private_access ?? 'org_users',
          environment: request.environment ?? parent?.row.environment ?? {},
          shape: snapshot.manifest.shape,
          idleTimeoutS: request.idle_timeout_s ?? parent?.row.idleTimeoutS ?? options.defaultIdleTimeoutS,
          imageName: snapshot.manifest.image.name,
          imageDigest: snapshot.manifest.image.digest,
          parentSpriteId: parent?.row.id ?? null,
          parentCheckpoint: parent?.checkpoint ?? null,
          currentCheckpoint: null,
          nextCheckpoint: 0,
          nextSession: parent?.row.nextSession ?? 1,
          lastState: parent ? snapshot.manifest.kind : 'new',
          reason: null,
          lastRunningAt: null,
          lastWarmingAt: null,
          lastStart: null,
        },
        options.uidBase + 1,
      );
      await failpoints.hit('create.after-row');
      return viewOf(row, org, restingState(row), null);
    } catch (error) {
      await store.removeSprite(id);
      throw error;
    }
  }

  /** Makes a sprite run, joining a start under way. */
  async #wake(actor: SpriteActor, command: 'start' | 'use' | 'recover'): Promise<SpriteView> {
    if (command !== 'recover' && actor.state === 'failed') throw actor.refusal(command);
    const { maxAwake } = this.#deps.options;
    return actor.enqueue('start', async () => {
      if (actor.awake) return actor.view;
      if (this.#closing) throw new SylphError('shutting_down', 'the daemon is shutting down', { hint: 'Try again in a moment.' });
      if (maxAwake > 0 && [...this.#actors.values()].filter(({ awake }) => awake).length >= maxAwake) {
        throw new SylphError('too_many_sprites', `${maxAwake} sprites are awake, as many as this host allows`, { hint: 'Suspend one, or wait until one goes to sleep.' });
      }
      if (actor.state === 'deleting') throw actor.refusal('use');
      await startSprite(actor);
      return actor.view;
    });
  }

  async #row(org: OrgRow, name: string): Promise<SpriteRow> {
    const row = await this.#deps.repository.spriteByName(org.id, name);
    if (!row) throw new SylphError('sprite_not_found', 'sprite not found', { hint: `Organization ${org.slug} has no sprite ${JSON.stringify(name.slice(0, 64))}.` });
    return row;
  }

  async #with<T>(org: OrgRow, name: string, work: (actor: SpriteActor) => Promise<T>): Promise<T> {
    const row = await this.#row(org, name);
    const actor = this.#actors.get(row.id) ?? this.#adopt(row, org);
    actor.holds++;
    try {
      return await work(actor);
    } finally {
      actor.holds--;
      this.#release(actor);
    }
  }

  #adopt(row: SpriteRow, org: OrgRow): SpriteActor {
    const actor = new SpriteActor(this.#deps, row, org);
    actor.onSettled = () => this.#release(actor);
    this.#actors.set(row.id, actor);
    return actor;
  }

  /** Sleeping sprites are rows and files only. */
  #release(actor: SpriteActor): void {
    if (!actor.dispensable || this.#actors.get(actor.id) !== actor) return;
    this.#actors.delete(actor.id);
    actor.closeSessions().catch((error: unknown) => actor.log.error({ err: error }, 'journals could not be closed'));
  }

  #viewOf(row: SpriteRow, org: OrgRow): SpriteView {
    return this.#actors.get(row.id)?.view ?? viewOf(row, org, restingState(row), null);
  }

  async #checkpointView(row: CheckpointRow): Promise<Checkpoint> {
    const rows = await this.#deps.repository.checkpoints(row.spriteId);
    return checkpointView(row, new Map(rows.map((checkpoint) => [checkpoint.id, checkpoint])));
  }
}

/** Ancestors told of one checkpoint. */
const maxHistory = 100;

function checkpointView(row: CheckpointRow, byId: ReadonlyMap<string, CheckpointRow>): Checkpoint {
  const history: string[] = [];
  for (let parent = row.parent; parent !== null && history.length < maxHistory; parent = byId.get(parent)?.parent ?? null) history.push(parent);
  return {
    id: row.id,
    create_time: row.createdAt,
    comment: row.comment,
    history,
    is_auto: row.isAuto,
    source_id: row.parent,
    health: row.damaged ? 'damaged' : '',
    kind: row.kind,
    size_bytes: row.sizeBytes,
  };
}

function nameTaken(name: string): SylphError {
  return new SylphError('name_taken', `A sprite named '${name}' already exists. Please choose a different name.`);
}

function checkpointNotFound(name: string, id: string): SylphError {
  return new SylphError('checkpoint_not_found', `sprite ${name} has no checkpoint ${id}`, { hint: 'GET …/checkpoints?includeAuto=true lists them.' });
}

/** The work goes on; only the waiting ends. */
async function withAbort<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  const aborted = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(SylphError.from(signal.reason)), { once: true }));
  return Promise.race([work, aborted]);
}
