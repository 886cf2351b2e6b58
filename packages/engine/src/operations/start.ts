import { SylphError, type CheckpointId, type Digest, type MachineIdentity, type StartReport } from '@sylph/model';
import type { SpriteActor } from '../actor/actor.ts';
import type { AwakeVm } from '../actor/awake.ts';
import { watchVm } from '../watch.ts';
import type { Snapshot } from '../interfaces/pool-store.ts';
import { saveAsCheckpoint } from './checkpoint.ts';
import { launch } from './launch.ts';

/** One rung of the ladder. */
interface Rung {
  how: StartReport['how'];
  snapshot: Snapshot;
  memory: boolean;
  checkpoint?: CheckpointId;
  guestDigest?: Digest;
}

/**
 * Wakes a sprite at rest by the best way there is: its memory; else its disk; else its newest checkpoint. Each failure is recorded with its reason; memory that could not be restored is kept as an
 * automatic checkpoint. When nothing works the sprite is `failed` and everything it rested on is still there.
 */
export async function startSprite(actor: SpriteActor): Promise<void> {
  const rungs = await ladder(actor);
  await climb(actor, rungs, { lostReason: undefined });
}

/** Boots the resting sprite's disk afresh, in another guest where one is given. Its sessions end. */
export async function bootSprite(actor: SpriteActor, options: { reason: string; guestDigest?: Digest }): Promise<void> {
  const rest = await restOf(actor);
  await climb(actor, [{ how: 'disk', snapshot: rest, memory: false, ...(options.guestDigest === undefined ? {} : { guestDigest: options.guestDigest }) }], { lostReason: options.reason });
}

/** Starts from a given snapshot in place of what the sprite rests on; no other rung. Sessions must have been replaced before. */
export async function startFrom(actor: SpriteActor, snapshot: Snapshot, options: { memory: boolean; checkpoint: CheckpointId }): Promise<void> {
  await climb(actor, [{ how: options.memory ? 'memory' : 'disk', snapshot, memory: options.memory, checkpoint: options.checkpoint }], { lostReason: undefined });
}

async function restOf(actor: SpriteActor): Promise<Snapshot> {
  const rest = await actor.deps.store.rest(actor.id);
  if (rest === undefined) throw new SylphError('sprite_failed', `sprite ${actor.row.name} has no files to start from`, { hint: 'Restore one of its checkpoints.' });
  return rest;
}

async function ladder(actor: SpriteActor): Promise<Rung[]> {
  const rungs: Rung[] = [];
  const rest = await actor.deps.store.rest(actor.id).catch((error: unknown) => {
    actor.log.error({ error }, 'what the sprite rests on cannot be read');
    return undefined;
  });
  if (rest?.manifest.kind === 'memory') rungs.push({ how: 'memory', snapshot: rest, memory: true });
  if (rest) rungs.push({ how: 'disk', snapshot: rest, memory: false });
  const [newest] = (await actor.deps.repository.checkpoints(actor.id)).filter((row) => !row.damaged);
  const checkpoint = newest && (await actor.deps.store.checkpoint(actor.id, newest.id));
  if (newest && checkpoint) rungs.push({ how: 'checkpoint', snapshot: checkpoint, memory: false, checkpoint: newest.id });
  return rungs;
}

async function climb(actor: SpriteActor, rungs: Rung[], options: { lostReason: string | undefined }): Promise<void> {
  const began = performance.now();
  const cameFrom = actor.state;
  const failures: StartReport['failures'] = [];
  actor.transition('starting');
  // A daemon that dies from here on looks at this sprite's files when it starts again.
  await actor.update({ lastState: 'awake' });
  for (const rung of rungs) {
    try {
      const unfit = await unfitness(actor, rung);
      if (unfit !== undefined) throw new SylphError('vm_failed', unfit);
      const awake = await launch(actor, { snapshot: rung.snapshot, memory: rung.memory, ...(rung.guestDigest === undefined ? {} : { guestDigest: rung.guestDigest }) });
      await serve(actor, awake, rung, { failures, durationMs: performance.now() - began, lostReason: options.lostReason });
      return;
    } catch (error) {
      const failure = SylphError.from(error);
      actor.log.error({ err: error, how: rung.how }, 'sprite could not be started this way');
      failures.push({ how: rung.how, reason: failure.message });
      // The host's trouble is not the state's: trying a poorer state would throw a good one away.
      if (['pool_full', 'host_unfit', 'shutting_down'].includes(failure.code)) {
        await settle(actor, cameFrom, failure.message);
        throw failure;
      }
    }
  }
  const reason = failures.length > 0 ? failures.map(({ how, reason: why }) => `${how}: ${why}`).join('; ') : 'there is nothing to start it from';
  const rest = await actor.deps.store.rest(actor.id).catch(() => undefined);
  actor.transition('failed');
  await actor.update({ lastState: 'failed', reason });
  throw new SylphError('sprite_failed', `sprite ${actor.row.name} could not be started: ${reason}`, {
    hint: rest ? 'Its files are untouched. POST …/recover tries again; restoring a checkpoint works too.' : 'Restore one of its checkpoints.',
  });
}

/** Why a memory snapshot cannot run here; undefined when it can be tried. */
async function unfitness(actor: SpriteActor, rung: Rung): Promise<string | undefined> {
  const damage = await actor.deps.store.damage(rung.memory ? rung.snapshot : { ...rung.snapshot, manifest: { ...rung.snapshot.manifest, kind: 'disk' } });
  if (damage !== undefined) return damage;
  if (!rung.memory || rung.snapshot.manifest.machine === undefined) return undefined;
  const { reason: _, ...here } = await actor.deps.driver.machine(await actor.deps.catalog.guest());
  return machineDifference(rung.snapshot.manifest.machine, here);
}

/** Memory only runs on the machine it was saved on. */
export function machineDifference(saved: MachineIdentity, here: MachineIdentity): string | undefined {
  for (const key of ['driver', 'accelerator', 'machine', 'cpuModel', 'qemuVersion'] as const) {
    if (saved[key] !== here[key]) return `its memory was saved with ${key} ${saved[key]}, this host has ${here[key]}`;
  }
  return undefined;
}

/** The agent has answered: from here on the VM is the sprite. */
async function serve(actor: SpriteActor, awake: AwakeVm, rung: Rung, start: { failures: StartReport['failures']; durationMs: number; lostReason: string | undefined }): Promise<void> {
  const { store, failpoints } = actor.deps;
  const sessions = await actor.sessions();
  if (start.lostReason !== undefined) await sessions.lose(start.lostReason);
  const memoryFailed = start.failures.find(({ how }) => how === 'memory');
  if (memoryFailed) {
    await keepMemory(actor, memoryFailed.reason);
    await sessions.lose(`the sprite's memory could not be restored: ${memoryFailed.reason}`);
  }
  await store.dropRest(actor.id);
  await failpoints.hit('start.rest-dropped');
  await sessions.connect(awake.channel);
  actor.awake = awake;
  actor.lastUseAt = performance.now();
  actor.transition('running');
  const at = new Date().toISOString();
  await actor.update({
    lastRunningAt: at,
    reason: start.failures.length > 0 ? `started from ${rung.how}: ${start.failures.map(({ reason }) => reason).join('; ')}` : null,
    lastStart: { how: rung.how, ...(rung.checkpoint === undefined ? {} : { checkpoint: rung.checkpoint }), at, duration_ms: Math.round(start.durationMs), failures: start.failures },
    ...(rung.checkpoint === undefined ? {} : { currentCheckpoint: rung.checkpoint }),
  });
  watchVm(actor, awake);
  actor.log.info({ how: rung.how, durationMs: Math.round(start.durationMs) }, 'sprite runs');
}

/** Memory that would not start is kept for a later try: nothing of a user's is dropped silently. */
async function keepMemory(actor: SpriteActor, reason: string): Promise<void> {
  const rest = await actor.deps.store.rest(actor.id);
  if (rest) await saveAsCheckpoint(actor, rest, { comment: `memory that could not be restored: ${reason}`, auto: true });
}

async function settle(actor: SpriteActor, state: 'asleep' | 'failed' | string, reason: string): Promise<void> {
  const rest = await actor.deps.store.rest(actor.id);
  const lastState = state === 'failed' || !rest ? 'failed' : rest.manifest.kind;
  actor.transition(lastState === 'failed' ? 'failed' : 'asleep');
  await actor.update({ lastState, reason });
}
