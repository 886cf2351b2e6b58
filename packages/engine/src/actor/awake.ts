import type { SnapshotManifest } from '@sylph/model';
import type { GuestChannel } from '../interfaces/guest-channel.ts';
import type { VmDir } from '../interfaces/pool-store.ts';
import type { Vm } from '../interfaces/vm-driver.ts';

/** A VM whose agent has answered. */
export interface AwakeVm {
  readonly vm: Vm;
  readonly dir: VmDir;
  readonly manifest: SnapshotManifest;
  /** Replaced when the data session had to be opened anew. */
  channel: GuestChannel;
  /** Ends the watches of this VM. */
  readonly watch: AbortController;
}
