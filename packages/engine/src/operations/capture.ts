import type { SnapshotManifest } from '@sylph/model';
import type { SpriteActor } from '../actor/actor.ts';
import type { AwakeVm } from '../actor/awake.ts';
import type { Snapshot, SnapshotDraft } from '../interfaces/pool-store.ts';
import type { SessionPosition } from '../interfaces/session-keeper.ts';

/** Time the guest gets to flush before a capture. It is a courtesy: a memory snapshot is whole without it, and a hung guest must not keep a sprite awake. */
const quiesceDeadlineMs = 5_000;
/** No capture of any size takes longer on a disk that works. */
const captureDeadlineMs = 10 * 60_000;

/** A capture lying in a draft, and the manifest to commit it with. */
export interface Captured {
  manifest: SnapshotManifest;
  positions: SessionPosition[];
}

/** Captures an awake VM into a draft: the guest's file systems flushed just before, disk, RAM, devices and journal positions of one instant. */
export async function capture(
  actor: SpriteActor,
  awake: AwakeVm,
  draft: SnapshotDraft,
  mode: 'stopped' | 'live',
): Promise<Captured> {
  const sessions = await actor.sessions();
  await awake.channel
    .quiesce({ deadlineMs: quiesceDeadlineMs })
    .catch((error: unknown) =>
      actor.log.warn({ err: error }, 'the guest did not flush before a capture; its disk is as a power cut leaves it'),
    );
  let positions: SessionPosition[] = [];
  const report = await awake.vm.capture(draft.path, mode, {
    whilePaused: () => {
      positions = sessions.positions();
    },
    signal: AbortSignal.timeout(captureDeadlineMs),
  });
  const { pauseMs, totalMs, changedRamBytes } = report;
  actor.log.info({ mode, pauseMs: Math.round(pauseMs), totalMs: Math.round(totalMs), changedRamBytes }, 'captured');
  await actor.deps.store.linkGuest(draft, awake.dir);
  const manifest: SnapshotManifest = {
    ...awake.manifest,
    version: 1,
    kind: 'memory',
    identity: actor.id,
    deviceFormat: report.deviceFormat,
    sizes: report.sizes,
    devSha256: report.devSha256,
    changedRamBytes,
    sessions: positions,
    createdAt: new Date().toISOString(),
  };
  return { manifest, positions };
}

/** Puts the journals that belong to a capture beside it. */
export async function exportJournals(
  actor: SpriteActor,
  draft: SnapshotDraft,
  positions: readonly SessionPosition[],
): Promise<void> {
  if (positions.length === 0) return;
  const sessions = await actor.sessions();
  await sessions.exportTo(await draft.makeSessionsDir(), positions);
}

/** Copies what a sprite rests on into a draft and commits it: links and reflinks only. Its journals lie with the sprite, so they are put beside the copy. */
export async function copyRest(actor: SpriteActor, draft: SnapshotDraft, rest: Snapshot): Promise<Snapshot> {
  await actor.deps.store.fillFromSnapshot(draft, rest);
  const positions = (await actor.sessions()).positions();
  const alive = positions.filter(({ id }) => rest.manifest.sessions.some((saved) => saved.id === id));
  await exportJournals(actor, draft, alive);
  return draft.commit({ ...rest.manifest, sessions: alive });
}
