import { type Exit, type Supervised, describeExit, signalPid } from './supervise.ts';
import { isAlive } from './procfs.ts';

/** How often a process that is not our child is looked at, ms. Its QMP connection tells of its end sooner; this is the safety net. */
const adoptedPollMs = 1_000;
/** How often once the connection broke and the end must be near, ms. */
const endingPollMs = 20;

/** The hypervisor process of a VM, our child or one found again. */
export interface VmProcess {
  readonly pid: number;
  /** Settles once when it is gone. Never rejects. */
  readonly exited: Promise<Exit>;
  /** No-op when it is gone: a pid that is somebody else's by now is never signalled. */
  signal(signal: number): void;
  /** Last lines of its error output, if we hold it. */
  stderrTail(): string;
  /** A hint that it is ending. */
  expectEnd(): void;
  /** Lets go of it. */
  release(): void;
}

/** A process we spawned. */
export function childProcess(program: Supervised): VmProcess {
  // Its end is seen at once: there is nothing to expect.
  return { ...program, expectEnd: () => {} };
}

/** A process an earlier daemon spawned: its end is seen by looking. */
export function adoptedProcess(pid: number, startTime: string): VmProcess {
  const exited = Promise.withResolvers<Exit>();
  let timer: NodeJS.Timeout | undefined;
  const watch = (everyMs: number): void => {
    clearInterval(timer);
    timer = setInterval(() => {
      if (isAlive(pid, startTime)) return;
      clearInterval(timer);
      exited.resolve({ code: null, signal: null });
    }, everyMs);
    timer.unref();
  };
  watch(adoptedPollMs);
  return {
    pid,
    exited: exited.promise,
    signal: (signal) => {
      if (isAlive(pid, startTime)) signalPid(pid, signal);
    },
    stderrTail: () => '',
    expectEnd: () => watch(endingPollMs),
    release: () => clearInterval(timer),
  };
}

/** The end of a process in words. */
export function describeEnd(exit: Exit, stderr: string): string {
  return stderr === '' ? `QEMU: ${describeExit(exit)}` : `QEMU: ${describeExit(exit)}: ${stderr}`;
}
