import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Between two looks, ms; longer where a look takes long, so that looking is not what takes the time. */
const lookMs = 200;
const lookShare = 0.1;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** What this process holds on to: its heap and the buffers outside of it, without garbage, bytes. */
function held(): number {
  // The buffers of what one collection found dead are let go of beside it; the second waits for that.
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** The most that this process held on to while `work` ran, above what it held before, bytes. Client and server of a test are one process: both count. */
export async function heldDuring(work: () => Promise<void>): Promise<number> {
  const before = held();
  let most = before;
  let timer: NodeJS.Timeout;
  const look = (): void => {
    const began = performance.now();
    most = Math.max(most, held());
    timer = setTimeout(look, Math.max(lookMs, (performance.now() - began) / lookShare));
  };
  timer = setTimeout(look, lookMs);
  try {
    await work();
  } finally {
    clearTimeout(timer);
  }
  return Math.max(most, held()) - before;
}
