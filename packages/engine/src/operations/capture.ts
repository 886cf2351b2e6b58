import type { SnapshotManifest } from '@sylph/model';
import type { SpriteActor } from '../actor/actor.ts';
import type { AwakeVm } from '../actor/awake.ts';
import type { SnapshotDraft } from '../interfaces/pool-store.ts';
import type { SessionPosition } from '../interfaces/session-keeper.ts';
import type { CaptureReport } from '../interfaces/vm-driver.ts';
import { quiesceDeadlineMs } from './suspend.ts';

/** No capture of any size takes longer on a disk that works. */
const captureDeadlineMs = 10 * 60_000;

/** A capture lying in a draft, and the manifest to commit it with. */
export interface Captured {
  manifest: SnapshotManifest;
  positions: SessionPosition[];
  report: CaptureReport;
}

/** Captures an awake VM into a draft: the guest's file systems flushed just before, disk, RAM, devices and journal positions of one instant. */
export async function capture(actor: SpriteActor, awake: AwakeVm, draft: SnapshotDraft, mode: 'stopped' | 'live'): Promise<Captured> {
  const sessions = await actor.sessions();
  await awake.channel.quiesce({ deadlineMs: quiesceDeadlineMs }).catch((error: unknown) => actor.log.warn({ err: error }, 'the guest did not flush before a capture; its disk is as a power cut leaves it'));
  let positions: SessionPosition[] = [];
  const report = await awake.vm.capture(draft.path, mode, {
    whilePaused: () => {
      positions = sessions.positions();
    },
    signal: AbortSignal.timeout(captureDeadlineMs),
  });
  await actor.deps.store.linkGuest(draft, awake.dir);
  const manifest: SnapshotManifest = {
    ...awake.manifest,
    version: 1,
    kind: 'memory',
    identity: actor.id,
    deviceFormat: report.deviceFormat,
    sizes: report.sizes,
    devSha256: report.devSha256,
    changedRamBytes: report.changedRamBytes,
    sessions: positions,
    createdAt: new Date().toISOString(),
  };
  return { manifest, positions, report };
}

/** Puts the journals that belong to a capture beside it. */
export async function exportJournals(actor: SpriteActor, draft: SnapshotDraft, positions: readonly SessionPosition[]): Promise<void> {
  if (positions.length === 0) return;
  const sessions = await actor.sessions();
  await sessions.exportTo(await draft.makeSessionsDir(), positions);
}
