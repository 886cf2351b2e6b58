import type { MachineIdentity, VmShape } from '@sylph/model';
import type { NetworkAttachment } from './host-network.ts';

/**
 * Runs virtual machines.
 *
 * A VM has a *working directory* that the store prepared (see `PoolStore.openVm`): `disk` (writable, its own), `ram` (immutable base, mapped privately; all zeros for a cold boot), `kernel`, `initrd`,
 * and an empty `run/` for sockets, console log and the driver's handle. Everything the driver writes lies in `run/`. The VM outlives the daemon; `adopt` finds it again by what `run/vm.json` says.
 *
 * A *capture* writes `disk`, `ram` and `dev` of one instant into a directory of the store. The guest is hostile: nothing it does may block a driver call beyond its deadline.
 */
export interface VmDriver {
  /** What VMs started now run on. Probes the accelerator once per (kernel, hypervisor, host boot) and remembers; may take seconds then. `kernel` and `initrd` are files for the probe. */
  machine(probe: { kernel: string; initrd: string }): Promise<MachineIdentity & { reason: string }>;
  /**
   * Starts a VM: from memory when `memory` is given, else by booting. Resolves once the virtual CPUs run (which says nothing about the agent).
   * Rejects with `vm_failed` and leaves no process behind. Abort ends the attempt likewise.
   */
  start(spec: VmSpec, options: { signal: AbortSignal }): Promise<Vm>;
  /**
   * Finds the VM of a working directory after a daemon restart: pid, start time and executable must match. Undefined when its process is gone (it is then reaped).
   * A VM that was left paused by a capture is reported as such.
   */
  adopt(dir: string): Promise<Vm | undefined>;
}

/** What to start. */
export interface VmSpec {
  /** For names and logs. */
  spriteId: string;
  /** Working directory. */
  dir: string;
  shape: VmShape;
  /** User and group the process runs as; owns the working directory's `disk` and `run/`. */
  uid: number;
  network: NetworkAttachment;
  machine: MachineIdentity;
  /** Device state to load over `ram`; absent: boot. */
  memory?: { devPath: string; format: 'devices' | 'stream' };
}

/** Why a VM is no longer there. */
export interface VmEnd {
  /** `asked`: by `end()`. `guest`: the guest powered off or rebooted. `died`: anything else. */
  cause: 'asked' | 'guest' | 'died';
  /** One sentence for a person: exit code or signal, last lines of the hypervisor's error output. */
  reason: string;
}

/** What a capture cost. All times in milliseconds. */
export interface CaptureReport {
  deviceFormat: 'devices' | 'stream';
  /** The guest stood still for so long, disk reflink and `whilePaused` included; for `stopped`, until the capture was complete. */
  pauseMs: number;
  totalMs: number;
  /** Bytes of RAM that differ from the origin's. */
  changedRamBytes: number;
  devSha256: string;
  sizes: { disk: number; ram: number; dev: number };
}

/** A VM of this driver. One capture or transition at a time: the caller serializes. */
export interface Vm {
  readonly dir: string;
  readonly pid: number;
  /** Left paused by an earlier capture (only after `adopt`). */
  readonly paused: boolean;
  /** Host paths of the two guest ports. */
  readonly sockets: { data: string; control: string };
  /** Settles once, when the process is gone. Never rejects. */
  readonly ended: Promise<VmEnd>;
  /**
   * Writes `disk`, `ram`, `dev` into `targetDir` (exists, on the pool's file system). Files are complete and fsynced when it resolves.
   * `stopped`: pauses, saves, leaves the VM paused: `continue` or `end` it. Cost in proportion to what changed.
   * `live`: the guest runs on but for a short pause; the VM runs again when it resolves.
   * `whilePaused` is called once at the captured instant, synchronously, and must not wait.
   * On failure the VM runs on as before (`live`) or stays paused (`stopped`), and the directory's content is worthless.
   */
  capture(
    targetDir: string,
    mode: 'stopped' | 'live',
    options: { whilePaused: () => void; signal: AbortSignal },
  ): Promise<CaptureReport>;
  /** Lets a paused VM run. */
  continue(): Promise<void>;
  /** Ends the process: quit, TERM, KILL, each with a deadline. Idempotent; resolves when it is gone. */
  end(): Promise<void>;
  /** Lets go of sockets and timers without touching the VM: for a daemon that leaves its VMs running. */
  release(): void;
  /** Host-side cost of the VM now. */
  usage(): Promise<{ cpuMs: number; privateBytes: number }>;
}
