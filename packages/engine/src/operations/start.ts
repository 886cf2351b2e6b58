import { SylphError, type CheckpointId, type Digest, type MachineIdentity, type StartReport } from '@sylph/model';
import type { SpriteActor } from '../actor/actor.ts';
import type { AwakeVm } from '../actor/awake.ts';
import type { Snapshot } from '../interfaces/pool-store.ts';
import type { SpriteSessions } from '../interfaces/session-keeper.ts';
import { machineNow } from '../machine.ts';
import { connectSessions, watchVm } from '../watch.ts';
import { asDisk, pruneAutomatic, saveAsCheckpoint } from './checkpoint.ts';
import { endAwake, launch, type LaunchPlan } from './launch.ts';
import { restOf } from './settle.ts';

/** One rung of the ladder. */
export interface Rung extends LaunchPlan {
  how: StartReport['how'];
  /** Where it starts from one: the sprite then stands on it. */
  checkpoint?: CheckpointId;
}

/** A VM that has taken over: it is the sprite, but serves nobody yet. */
export interface Started {
  awake: AwakeVm;
  rung: Rung;
  failures: StartReport['failures'];
  durationMs: number;
}

/**
 * Wakes a sprite at rest by the best way there is: its memory; else its disk; else its newest checkpoint. Each failure is recorded with its reason; a state that could not be started is kept as an
 * automatic checkpoint. When nothing works the sprite is `failed` and everything it rested on is still there.
 */
export async function startSprite(actor: SpriteActor): Promise<void> {
  actor.transition('starting');
  const rest = await restOf(actor);
  const unreadable = rest instanceof SylphError ? [{ how: 'disk' as const, reason: rest.message }] : [];
  const started = await climb(actor, await ladder(actor, rest instanceof SylphError ? undefined : rest), unreadable);
  const { rung, failures } = started;
  await serve(actor, started, async (sessions) => {
    if (!rung.memory)
      await sessions.lose(
        failures.length > 0
          ? `the sprite's memory could not be restored: ${reasonsOf(failures)}`
          : 'the sprite was booted from its disk',
      );
  });
  if (failures.length > 0) await pruneAutomatic(actor);
}

/** Boots the resting sprite's disk afresh, in another guest where one is given. Its sessions end. */
export async function bootSprite(
  actor: SpriteActor,
  options: { reason: string; guestDigest?: Digest | undefined },
): Promise<void> {
  actor.transition('starting');
  const rest = await actor.deps.store.rest(actor.id);
  if (rest === undefined)
    throw new SylphError('sprite_failed', `sprite ${actor.row.name} has no files to start from`, {
      hint: 'Restore one of its checkpoints.',
    });
  const { guestDigest } = options;
  const started = await climb(actor, [{ how: 'disk', snapshot: rest, memory: false, guestDigest }]);
  await serve(actor, started, (sessions) => sessions.lose(options.reason));
}

async function ladder(actor: SpriteActor, rest: Snapshot | undefined): Promise<Rung[]> {
  const rungs: Rung[] = [];
  if (rest?.manifest.kind === 'memory') rungs.push({ how: 'memory', snapshot: rest, memory: true });
  if (rest) rungs.push({ how: 'disk', snapshot: rest, memory: false });
  const newest = await newestCheckpoint(actor);
  if (newest) rungs.push({ how: 'checkpoint', snapshot: newest.snapshot, memory: false, checkpoint: newest.id });
  return rungs;
}

async function newestCheckpoint(actor: SpriteActor): Promise<{ id: CheckpointId; snapshot: Snapshot } | undefined> {
  for (const { id, damaged } of await actor.deps.repository.checkpoints(actor.id)) {
    if (damaged) continue;
    try {
      const snapshot = await actor.deps.store.checkpoint(actor.id, id);
      if (snapshot) return { id, snapshot };
    } catch (error) {
      actor.log.error({ err: error, checkpoint: id }, 'a checkpoint cannot be read');
      await actor.deps.repository.updateCheckpoint(actor.id, id, { damaged: true });
    }
  }
  return undefined;
}

/**
 * Tries the rungs in order until a VM has taken over from what the sprite rests on; `known` are failures that need no trying. Throws when none did: then no VM is left, what it rested on is untouched,
 * and the sprite is `failed`, or settled by what follows when the trouble is the host's.
 */
export async function climb(
  actor: SpriteActor,
  rungs: readonly Rung[],
  known: StartReport['failures'] = [],
): Promise<Started> {
  const began = performance.now();
  const failures = [...known];
  actor.transition('starting');
  // A daemon that dies from here on looks at this sprite's files when it starts again.
  await actor.update({ lastState: 'awake' });
  for (const rung of rungs) {
    try {
      const awake = await attempt(actor, rung, failures);
      return { awake, rung, failures, durationMs: performance.now() - began };
    } catch (error) {
      const failure = SylphError.from(error);
      actor.log.error({ err: error, how: rung.how }, 'sprite could not be started this way');
      // The host's trouble is not the state's: trying a poorer state would throw a good one away.
      if (['pool_full', 'host_unfit', 'shutting_down'].includes(failure.code)) {
        await actor.update({ reason: failure.message });
        throw failure;
      }
      failures.push({ how: rung.how, reason: failure.message });
    }
  }
  const reason = failures.length > 0 ? reasonsOf(failures) : 'there is nothing to start it from';
  const rest = await actor.deps.store.rest(actor.id).catch(() => undefined);
  await actor.update({ lastState: 'failed', reason });
  actor.transition('failed');
  throw new SylphError('sprite_failed', `sprite ${actor.row.name} could not be started: ${reason}`, {
    hint: rest
      ? 'Its files are untouched. POST …/recover tries again; restoring a checkpoint works too.'
      : 'Restore one of its checkpoints.',
  });
}

function reasonsOf(failures: StartReport['failures']): string {
  return failures.map(({ how, reason }) => `${how}: ${reason}`).join('; ');
}

/** Starts a VM and lets it take over. On failure no VM is left and what the sprite rested on is as it was. */
async function attempt(actor: SpriteActor, rung: Rung, failures: StartReport['failures']): Promise<AwakeVm> {
  const { store, failpoints } = actor.deps;
  const unfit = await unfitness(actor, rung);
  if (unfit !== undefined) throw new SylphError('vm_failed', unfit);
  const awake = await launch(actor, rung);
  try {
    if (failures.length > 0) await keepRest(actor, reasonsOf(failures));
    await store.dropRest(actor.id);
    await failpoints.hit('start.rest-dropped');
  } catch (error) {
    const rest = await restOf(actor).catch(async (unknown: unknown) => {
      // Its directory stays: it may be all there is. What follows settles the sprite from what exists.
      await endAwake(actor, awake);
      throw new SylphError(
        'host_unfit',
        `it cannot be told what the sprite rests on: ${SylphError.from(unknown).message}`,
        { cause: unknown },
      );
    });
    if (rest !== undefined) {
      await endAwake(actor, awake);
      await store.removeVm(awake.dir);
      throw error;
    }
    actor.log.error({ err: error }, 'trouble after a VM had taken over; it is the sprite all the same');
  }
  return awake;
}

/** Why a snapshot cannot run here; undefined when it can be tried. */
async function unfitness(actor: SpriteActor, rung: Rung): Promise<string | undefined> {
  const { manifest } = rung.snapshot;
  const damage = await actor.deps.store.damage(rung.memory ? rung.snapshot : asDisk(rung.snapshot));
  if (damage !== undefined) return damage;
  if (!rung.memory || manifest.machine === undefined) return undefined;
  return machineDifference(manifest.machine, await machineNow(actor.deps));
}

/** Memory only runs on the machine it was saved on. */
export function machineDifference(saved: MachineIdentity, here: MachineIdentity): string | undefined {
  for (const key of ['driver', 'accelerator', 'machine', 'cpuModel', 'qemuVersion'] as const) {
    if (saved[key] !== here[key]) return `its memory was saved with ${key} ${saved[key]}, this host has ${here[key]}`;
  }
  return undefined;
}

/** A state that would not start is kept for a later try: nothing of a user's is dropped silently. What is missing of it cannot be kept. */
async function keepRest(actor: SpriteActor, reason: string): Promise<void> {
  try {
    const rest = await actor.deps.store.rest(actor.id);
    if (rest) await saveAsCheckpoint(actor, rest, { comment: `could not be started: ${reason}`, auto: true });
  } catch (error) {
    if (SylphError.from(error).code === 'pool_full') throw error;
    actor.log.error({ err: error }, 'a state that could not be started could not be kept either');
  }
}

/**
 * Lets a VM that has taken over serve: its row says so, `change` makes the sessions those of what it was started from, and they are connected. A failure to do this is thrown, but the sprite runs on
 * where its agent can be reached at all.
 */
export async function serve(
  actor: SpriteActor,
  started: Started,
  change: (sessions: SpriteSessions) => Promise<void>,
): Promise<void> {
  const { awake, rung, failures, durationMs } = started;
  actor.awake = awake;
  actor.lastUseAt = performance.now();
  const at = new Date().toISOString();
  const tell = async (): Promise<void> => {
    await actor.update({
      lastRunningAt: at,
      reason: failures.length > 0 ? `started from ${rung.how}: ${reasonsOf(failures)}` : null,
      lastStart: {
        how: rung.how,
        ...(rung.checkpoint === undefined ? {} : { checkpoint: rung.checkpoint }),
        at,
        duration_ms: Math.round(durationMs),
        failures,
      },
      ...(rung.checkpoint === undefined ? {} : { currentCheckpoint: rung.checkpoint }),
    });
    await change(await actor.sessions());
  };
  const trouble = await tell().then(
    () => undefined,
    (error: unknown) => ({ error }),
  );
  try {
    await connectSessions(actor, awake);
    actor.transition('running');
  } finally {
    if (actor.awake === awake) watchVm(actor, awake);
  }
  actor.log.info({ how: rung.how, durationMs: Math.round(durationMs) }, 'sprite runs');
  if (trouble) throw trouble.error;
}
