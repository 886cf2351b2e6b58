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
import { restingState, viewOf, type SpriteActor } from './actor/actor.ts';
import { ActorRegistry } from './actor/registry.ts';
import { Admission } from './admission.ts';
import { ChangeFeed, type ChangeListener } from './changes.ts';
import { checkpointView } from './checkpoint-view.ts';
import { DenialRecorder } from './denials.ts';
import type { EngineDeps } from './deps.ts';
import { GenesisLibrary } from './genesis.ts';
import { letGo, takeOver } from './handover.ts';
import { shapeFrom } from './host-limits.ts';
import type { GuestChannel } from './interfaces/guest-channel.ts';
import type { Snapshot } from './interfaces/pool-store.ts';
import type { OrgRow, SpriteRow } from './interfaces/repository.ts';
import type { SpriteSessions } from './interfaces/session-keeper.ts';
import { checkpointSprite, removeCheckpoint } from './operations/checkpoint.ts';
import { createSprites, type NewSprite } from './operations/create.ts';
import { deleteSprite } from './operations/delete.ts';
import { openOrigin } from './operations/fork.ts';
import { restartSprite } from './operations/restart.ts';
import { restoreSprite } from './operations/restore.ts';
import { startSprite } from './operations/start.ts';
import { suspendSprite } from './operations/suspend.ts';
import { Policies } from './policies.ts';
import type { Progress, SpriteLease, SpriteService } from './service.ts';
import type { SpriteView } from './sprite-view.ts';

/** Deadline of the agent's answer to `check`. */
const checkDeadlineMs = 10_000;
/** Wakes tried for one use: a sprite may be put to sleep again between its wake and the use. */
const wakesPerUse = 3;

/** {@link SpriteService}: finds or makes the actor of a sprite and hands it the command. */
export class Sprites implements SpriteService {
  readonly #deps: EngineDeps;
  readonly #genesis: GenesisLibrary;
  readonly #actors: ActorRegistry;
  readonly #admission: Admission;
  readonly #changes = new ChangeFeed();
  readonly #denials: DenialRecorder;
  readonly policies: Policies;

  constructor(deps: EngineDeps) {
    this.#deps = deps;
    this.#genesis = new GenesisLibrary(deps);
    this.#actors = new ActorRegistry(deps, this.#changes, () => this.#denials);
    this.#denials = new DenialRecorder(deps, this.#actors);
    this.policies = new Policies(deps, {
      actors: this.#actors,
      denials: this.#denials,
      row: (org, name) => this.#row(org, name),
    });
    this.#admission = new Admission(this.#actors, deps.options);
  }

  /** See {@link takeOver}. Call once, before anything else. */
  async open(): Promise<string[]> {
    const notices = await takeOver(this.#deps, this.#actors);
    this.#denials.open();
    return notices;
  }

  /** Boots the genesis of the default image and shape, so that the first create need not wait. */
  async prepare(): Promise<void> {
    const image = await this.#deps.catalog.image();
    if (image) await this.#genesis.prepare(image, shapeFrom({}, Number.POSITIVE_INFINITY));
  }

  /** Ends the engine: see {@link letGo}. Nothing is started any more. */
  async close(how: 'suspend' | 'leave'): Promise<void> {
    this.#admission.close();
    // Sprites that are put to sleep are asked as they leave the network.
    if (how === 'leave') await this.#denials.takeAll();
    await letGo(this.#deps, this.#actors, how);
    await this.#denials.close();
  }

  async create(org: OrgRow, request: CreateSpriteRequest): Promise<SpriteView> {
    const { repository, catalog, store } = this.#deps;
    if (await repository.spriteByName(org.id, request.name)) throw nameTaken(request.name);
    if (request.from && 'sprite' in request.from) {
      const { sprite, checkpoint } = request.from;
      if (request.config && Object.values(request.config).some((value) => value !== undefined)) {
        throw new SylphError(
          'invalid_size',
          'a sprite made from another sprite has its size; config cannot be given as well',
          { hint: 'Leave config out.' },
        );
      }
      const [view] = await this.#forkInto(org, sprite, checkpoint, [request.name], request);
      return view as SpriteView;
    }
    const image = await catalog.image(request.from?.image);
    if (!image) {
      const name = request.from?.image;
      throw new SylphError(
        'image_not_found',
        name === undefined ? 'no image has been built yet' : `there is no image ${name}`,
        { hint: `Build it with: sylphd image build ${name ?? 'minimal'}` },
      );
    }
    const shape = shapeFrom(request.config ?? {}, (await store.capacity()).totalBytes);
    const [view] = await this.#genesis.with(image, shape, org.id, (genesis) =>
      this.#make(org, [{ name: request.name, request, parent: undefined }], genesis),
    );
    return view as SpriteView;
  }

  async get(org: OrgRow, name: string): Promise<SpriteView> {
    return this.#viewOf(await this.#row(org, name), org);
  }

  async list(
    org: OrgRow,
    query: { prefix?: string | undefined; after?: string | undefined; limit: number },
  ): Promise<SpriteView[]> {
    const rows = await this.#deps.repository.listSprites({ orgId: org.id, ...query });
    return rows.map((row) => this.#viewOf(row, org));
  }

  onChange(org: OrgRow, heard: ChangeListener): Disposable {
    return this.#changes.listen(org.id, heard);
  }

  async counts(orgId?: string): Promise<Record<PublicStatus, number>> {
    const rows = await this.#deps.repository.countSprites(orgId);
    return { running: rows.awake, warm: rows.memory, cold: rows.new + rows.disk + rows.failed };
  }

  async update(org: OrgRow, name: string, patch: UpdateSpriteRequest): Promise<SpriteView> {
    return this.#with(org, name, async (actor) => {
      await actor.update({
        ...(patch.url_settings?.auth === undefined ? {} : { urlAuth: patch.url_settings.auth }),
        ...(patch.url_settings?.private_access === undefined
          ? {}
          : { privateAccess: patch.url_settings.private_access }),
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
    await this.#with(org, name, (actor) =>
      actor.command('delete', { key: 'delete', noop: () => undefined }, () => deleteSprite(actor)),
    );
    this.#changes.tell(org.id, name);
  }

  start(org: OrgRow, name: string): Promise<SpriteView> {
    return this.#with(org, name, (actor) => this.#wake(actor, 'start'));
  }

  suspend(org: OrgRow, name: string): Promise<SpriteView> {
    return this.#with(org, name, (actor) =>
      actor.command('suspend', { key: 'suspend', noop: () => actor.view }, async () => {
        await suspendSprite(actor, { then: 'asleep' });
        return actor.view;
      }),
    );
  }

  restart(org: OrgRow, name: string): Promise<SpriteView> {
    return this.#with(org, name, (actor) =>
      actor.command('restart', { key: 'restart' }, async () => {
        await this.#admission.run(actor, () => restartSprite(actor, { reason: 'the sprite was restarted' }));
        return actor.view;
      }),
    );
  }

  upgrade(org: OrgRow, name: string): Promise<SpriteView> {
    return this.#with(org, name, (actor) =>
      actor.command('upgrade', { key: 'upgrade' }, async () => {
        const guest = await this.#deps.catalog.guest();
        await this.#admission.run(actor, () =>
          restartSprite(actor, { reason: 'the sprite was upgraded', guestDigest: guest.digest }),
        );
        return actor.view;
      }),
    );
  }

  recover(org: OrgRow, name: string): Promise<SpriteView> {
    return this.#with(org, name, (actor) => this.#wake(actor, 'recover'));
  }

  async check(
    org: OrgRow,
    name: string,
  ): Promise<{ view: SpriteView; healthy: boolean; reason?: string; elapsedMs: number }> {
    const row = await this.#row(org, name);
    const began = performance.now();
    const actor = this.#actors.find(row.id);
    const view = this.#viewOf(row, org);
    if (!actor?.awake) {
      const healthy = view.state !== 'failed';
      return {
        view,
        healthy,
        ...(row.reason === null ? {} : { reason: row.reason }),
        elapsedMs: performance.now() - began,
      };
    }
    try {
      await actor.awake.channel.ping({ deadlineMs: checkDeadlineMs });
      return { view, healthy: true, elapsedMs: performance.now() - began };
    } catch (error) {
      return { view, healthy: false, reason: SylphError.from(error).message, elapsedMs: performance.now() - began };
    }
  }

  async fork(org: OrgRow, name: string, request: ForkRequest): Promise<SpriteView[]> {
    const names =
      request.count === undefined
        ? [request.name]
        : Array.from({ length: request.count }, (_, index) => `${request.name}-${index + 1}`);
    return this.#forkInto(org, name, request.checkpoint, names, { labels: request.labels });
  }

  async checkpoint(org: OrgRow, name: string, options: { comment: string }): Promise<Checkpoint> {
    return this.#with(org, name, async (actor) => {
      const row = await actor.command('checkpoint', {}, () => checkpointSprite(actor, options));
      return checkpointView(row, await this.#deps.repository.checkpoints(actor.id));
    });
  }

  async checkpoints(org: OrgRow, name: string): Promise<Checkpoint[]> {
    const row = await this.#row(org, name);
    const rows = await this.#deps.repository.checkpoints(row.id);
    return rows.map((checkpoint) => checkpointView(checkpoint, rows));
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
          throw new SylphError('checkpoint_in_use', `the present of ${name} descends from checkpoint ${id}`, {
            hint: 'Make a newer checkpoint or restore another one first.',
          });
        }
        await removeCheckpoint(actor, id);
      }),
    );
  }

  async restore(
    org: OrgRow,
    name: string,
    id: CheckpointId,
    options: { mode: 'memory' | 'disk' },
    progress: Progress,
  ): Promise<{ view: SpriteView; savedAs: CheckpointId | undefined }> {
    return this.#with(org, name, async (actor) => {
      const savedAs = await actor.command('restore', {}, () =>
        this.#admission.run(actor, () => restoreSprite(actor, id, options, progress)),
      );
      return { view: actor.view, savedAs };
    });
  }

  use(org: OrgRow, name: string, options: { signal?: AbortSignal; connection?: boolean } = {}): Promise<SpriteLease> {
    return this.#with(org, name, async (actor) => {
      // The lease is taken before the wake: it keeps the actor and, once awake, the sprite from going away under it.
      const release = options.connection ? this.#actors.hold(actor) : this.#actors.lease(actor);
      try {
        options.signal?.throwIfAborted();
        const sessions = await actor.sessions();
        for (let wake = 1; actor.state !== 'running' || !actor.awake; wake++) {
          if (wake > wakesPerUse)
            throw new SylphError('illegal_state', `sprite ${name} was put to sleep while it was being used`);
          await withAbort(this.#wake(actor, 'use'), options.signal);
        }
        const used = (): void => void (actor.lastUseAt = performance.now());
        used();
        return { view: actor.view, sessions, channel: actor.awake.channel, used, [Symbol.dispose]: release };
      } catch (error) {
        release();
        throw error;
      }
    });
  }

  async peekSessions(org: OrgRow, name: string): Promise<SpriteSessions | undefined> {
    return this.#with(org, name, async (actor) => (actor.row.lastState === 'new' ? undefined : actor.sessions()));
  }

  async peekChannel(org: OrgRow, name: string): Promise<GuestChannel | undefined> {
    return this.#actors.find((await this.#row(org, name)).id)?.awake?.channel;
  }

  async #forkInto(
    org: OrgRow,
    name: string,
    checkpoint: CheckpointId | undefined,
    names: string[],
    request: Partial<CreateSpriteRequest>,
  ): Promise<SpriteView[]> {
    for (const wanted of names) if (await this.#deps.repository.spriteByName(org.id, wanted)) throw nameTaken(wanted);
    return this.#with(org, name, (actor) =>
      actor.command('fork', {}, async () => {
        await using origin = await openOrigin(actor, checkpoint);
        const parent = { row: actor.row, checkpoint: origin.checkpoint };
        return await this.#make(
          org,
          names.map((wanted) => ({ name: wanted, request, parent })),
          origin.snapshot,
        );
      }),
    );
  }

  async #make(org: OrgRow, sprites: readonly NewSprite[], snapshot: Snapshot): Promise<SpriteView[]> {
    const rows = await createSprites(this.#deps, org, sprites, snapshot);
    for (const { name } of rows) this.#changes.tell(org.id, name);
    return rows.map((row) => viewOf(row, org, restingState(row), null));
  }

  /** Makes a sprite run, joining a start under way. */
  #wake(actor: SpriteActor, command: 'start' | 'use' | 'recover'): Promise<SpriteView> {
    return actor.command(
      command,
      { key: command === 'recover' ? 'recover' : 'start', noop: () => actor.view },
      async () => {
        if (!actor.awake) await this.#admission.run(actor, () => startSprite(actor));
        return actor.view;
      },
    );
  }

  async #row(org: OrgRow, name: string): Promise<SpriteRow> {
    const row = await this.#deps.repository.spriteByName(org.id, name);
    if (!row)
      throw new SylphError('sprite_not_found', 'sprite not found', {
        hint: `Organization ${org.slug} has no sprite ${JSON.stringify(name.slice(0, 64))}.`,
      });
    return row;
  }

  async #with<T>(org: OrgRow, name: string, work: (actor: SpriteActor) => Promise<T>): Promise<T> {
    return this.#actors.with(await this.#row(org, name), org, work);
  }

  #viewOf(row: SpriteRow, org: OrgRow): SpriteView {
    return this.#actors.find(row.id)?.view ?? viewOf(row, org, restingState(row), null);
  }
}

function checkpointNotFound(name: string, id: string): SylphError {
  return new SylphError('checkpoint_not_found', `sprite ${name} has no checkpoint ${id}`, {
    hint: 'GET …/checkpoints?includeAuto=true lists them.',
  });
}

/** The work goes on; only the waiting ends. */
async function withAbort<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(SylphError.from(signal.reason));
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
