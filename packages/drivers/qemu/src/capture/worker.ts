import { parentPort } from 'node:worker_threads';
import { isNoSpace } from '@sylph/model/errors';
import type { CaptureJob, LiveJob, WorkerCalls, WorkerReply, WorkerRequest } from './jobs.ts';
import { LiveCapture } from './live.ts';
import { captureStopped } from './stopped.ts';

/**
 * Thread that does the copying of one capture at a time, so that the daemon's own thread never waits for a disk or compares gigabytes.
 * What it loads is loaded once more for each thread: none of it reaches the schemas, which would take 20 MB and most of a start.
 */

let live: LiveCapture | undefined;

function current(): LiveCapture {
  if (live === undefined) throw new Error('no live capture under way');
  return live;
}

function dropLive(): void {
  live?.close();
  live = undefined;
}

const calls: { [C in keyof WorkerCalls]: (input: never) => Promise<WorkerCalls[C]['output']> } = {
  stopped: async (job: CaptureJob) => await captureStopped(job),
  liveListen: async (job: LiveJob) => {
    dropLive();
    live = new LiveCapture(job);
    await live.listen();
    return undefined;
  },
  liveReceive: async () => {
    await current().receive();
    return undefined;
  },
  liveFinish: async ({ diskBytes }: { diskBytes: number }) => {
    const files = await current().finish(diskBytes);
    dropLive();
    return files;
  },
  liveAbort: async () => {
    dropLive();
    return undefined;
  },
};

parentPort?.on('message', (request: WorkerRequest) => {
  const reply = (message: WorkerReply): void => parentPort?.postMessage(message);
  calls[request.call](request.input as never).then(
    (output) => reply({ id: request.id, output }),
    (error: Error) => reply({ id: request.id, error: error.message, full: isNoSpace(error) }),
  );
});
