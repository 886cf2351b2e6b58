/** What both kinds of capture need to know. Paths are absolute. */
export interface CaptureJob {
  pid: number;
  /** Working directory of the VM. */
  vmDir: string;
  targetDir: string;
  ramBytes: number;
}

export interface LiveJob extends CaptureJob {
  uid: number;
  /** One word, set to 1 once the guest stands still: until it runs again the worker does nothing that can wait. */
  stopped: SharedArrayBuffer;
}

/** Files of a finished capture. */
export interface CapturedFiles {
  changedRamBytes: number;
  devSha256: string;
  sizes: { disk: number; ram: number; dev: number };
}

/** What a worker can be asked, one at a time; the live steps in this order. */
export interface WorkerCalls {
  /** Copies everything out of a paused VM whose device state lies in run/dev. */
  stopped: { input: CaptureJob; output: CapturedFiles };
  /** Clones RAM and listens on run/stream for QEMU, which runs as `uid`. */
  liveListen: { input: LiveJob; output: undefined };
  /** Resolves when the whole stream has been received. */
  liveReceive: { input: undefined; output: undefined };
  /** The VM runs again and its disk is cloned: writes what was kept in memory, makes holes, syncs. */
  liveFinish: { input: { diskBytes: number }; output: CapturedFiles };
  /** Drops the live capture under way, if any. */
  liveAbort: { input: undefined; output: undefined };
}
export type WorkerCall = keyof WorkerCalls;

export interface WorkerRequest {
  id: number;
  call: WorkerCall;
  input: unknown;
}
/** `full`: the file system has no room. */
export type WorkerReply = { id: number; output: unknown } | { id: number; error: string; full: boolean };
