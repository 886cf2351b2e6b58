import { availableParallelism } from 'node:os';
import type { Worker } from 'node:worker_threads';
import { startThread } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import { captureFailed } from './failure.ts';
import type { WorkerCall, WorkerCalls, WorkerReply } from './jobs.ts';

/** More captures at once than this only make each other slower: copying is bound by memory and disk. */
const maxWorkers = 4;
/** Captures that may wait for a worker. */
const maxWaiting = 1024;
/** A thread holds some 10 MB and what it works with: all but one of those without work end after this time. */
const idleMs = 30_000;

/** A worker held for one capture. Dispose it when the capture is over: it then serves the next. */
export interface WorkerLease extends Disposable {
  /** Asks the worker. Rejects with `pool_full` when there is no room, with `vm_failed` when the step failed or the worker died. */
  call<C extends WorkerCall>(call: C, input: WorkerCalls[C]['input']): Promise<WorkerCalls[C]['output']>;
}

class CaptureWorker {
  readonly #worker: Worker;
  readonly #pending = new Map<number, { resolve: (output: never) => void; reject: (error: Error) => void }>();
  #nextId = 1;
  dead = false;

  constructor() {
    this.#worker = startThread(new URL('./worker.ts', import.meta.url));
    this.#worker.unref();
    this.#worker.on('message', (reply: WorkerReply) => {
      const pending = this.#pending.get(reply.id);
      this.#pending.delete(reply.id);
      if (this.#pending.size === 0) this.#worker.unref();
      if ('error' in reply) pending?.reject(captureFailed(reply.error, reply.full));
      else pending?.resolve(reply.output as never);
    });
    this.#worker.once('error', (error: unknown) =>
      this.#die(error instanceof Error ? error : new Error(String(error))),
    );
    this.#worker.once('exit', (code) => this.#die(new Error(`exit code ${code}`)));
  }

  async call<C extends WorkerCall>(call: C, input: WorkerCalls[C]['input']): Promise<WorkerCalls[C]['output']> {
    if (this.dead) throw new SylphError('vm_failed', 'capture failed: its worker died');
    const id = this.#nextId++;
    this.#worker.ref();
    return await new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage({ id, call, input });
    });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #die(cause: Error): void {
    this.dead = true;
    for (const { reject } of this.#pending.values())
      reject(new SylphError('vm_failed', `capture failed: its worker died: ${cause.message}`, { cause }));
    this.#pending.clear();
  }
}

/** A few persistent worker threads, started as they are needed. */
export class WorkerPool implements AsyncDisposable {
  readonly #size = Math.max(2, Math.min(maxWorkers, availableParallelism()));
  readonly #idle: CaptureWorker[] = [];
  readonly #waiting: ((worker: CaptureWorker) => void)[] = [];
  readonly #all = new Set<CaptureWorker>();
  #surplus: NodeJS.Timeout | undefined;

  /** Starts a first worker, so that the first capture need not wait for one. */
  warm(): void {
    if (this.#all.size === 0) this.#idle.push(this.#create());
  }

  /** Waits for a free worker, first come first served. */
  async acquire(signal: AbortSignal): Promise<WorkerLease> {
    signal.throwIfAborted();
    const worker = this.#takeIdle() ?? (this.#all.size < this.#size ? this.#create() : await this.#wait(signal));
    let released = false;
    return {
      call: async (call, input) => await worker.call(call, input),
      [Symbol.dispose]: () => {
        if (!released) this.#release(worker);
        released = true;
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#surplus);
    await Promise.all([...this.#all].map(async (worker) => await worker.close()));
    this.#all.clear();
    this.#idle.length = 0;
  }

  #takeIdle(): CaptureWorker | undefined {
    for (;;) {
      const worker = this.#idle.pop();
      if (worker?.dead !== true) return worker;
      this.#all.delete(worker);
    }
  }

  #create(): CaptureWorker {
    const worker = new CaptureWorker();
    this.#all.add(worker);
    return worker;
  }

  async #wait(signal: AbortSignal): Promise<CaptureWorker> {
    if (this.#waiting.length >= maxWaiting) throw new SylphError('vm_failed', `more than ${maxWaiting} captures wait`);
    return await new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(take), 1);
        reject(signal.reason as Error);
      };
      const take = (worker: CaptureWorker): void => {
        signal.removeEventListener('abort', abort);
        resolve(worker);
      };
      signal.addEventListener('abort', abort, { once: true });
      this.#waiting.push(take);
    });
  }

  #release(worker: CaptureWorker): void {
    let next = worker;
    if (worker.dead) {
      this.#all.delete(worker);
      if (this.#waiting.length === 0) return;
      next = this.#create();
    }
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#rest(next);
    else waiting(next);
  }

  #rest(worker: CaptureWorker): void {
    this.#idle.push(worker);
    if (this.#idle.length > 1) this.#surplus ??= setTimeout(() => this.#endSurplus(), idleMs).unref();
  }

  /** The one used last stays: it serves the next capture at once. */
  #endSurplus(): void {
    this.#surplus = undefined;
    for (const worker of this.#idle.splice(0, this.#idle.length - 1)) {
      this.#all.delete(worker);
      // Nothing waits for it: it has no work.
      worker.close().catch(() => {});
    }
  }
}
