import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { pageBytes } from '@sylph/model/page';
import { runFiles } from '../args.ts';
import { freeNow } from './free.ts';
import { startFlush, syncFile, writeDev } from './files.ts';
import type { CapturedFiles, LiveJob } from './jobs.ts';
import { GuestMemory } from './memory.ts';
import { RamFile } from './pages.ts';
import { type RamSink, StreamSplitter } from './stream.ts';

/** Pages of the last round that may wait in memory until the guest runs again. More than that is written while it stands still. */
const maxDeferredBytes = 256 << 20;

/** Bytes gathered before they are compared and written. What is begun when the guest stops has to be finished first, so it is little. */
const runBytes = 256 << 10;

/** Gathers pages into runs, drops those the guest never wrote, and keeps all in memory from the guest's stop until `settle`. */
class Gatherer implements RamSink {
  readonly #ram: RamFile;
  readonly #memory: GuestMemory;
  readonly #stopped: Int32Array;
  #run = Buffer.allocUnsafe(runBytes);
  #runAt = 0;
  #runBytes = 0;
  #deferred: { offset: number; data: Buffer<ArrayBuffer> | undefined }[] = [];
  #deferredBytes = 0;
  /** Until `settle`, or until too much is kept. */
  #keeping = true;

  constructor(ram: RamFile, memory: GuestMemory, stopped: SharedArrayBuffer) {
    this.#ram = ram;
    this.#memory = memory;
    this.#stopped = new Int32Array(stopped);
  }

  page(offset: number, source: Buffer, at: number): void {
    if (offset !== this.#runAt + this.#runBytes || this.#runBytes === runBytes) this.#flush(offset);
    source.copy(this.#run, this.#runBytes, at, at + pageBytes);
    this.#runBytes += pageBytes;
  }

  zero(offset: number): void {
    if (offset >= this.#runAt && offset < this.#runAt + this.#runBytes) this.#flush(offset);
    if (this.#mustDefer()) {
      // A bound on the list too: its entries are small, but a guest can clear any number of pages.
      this.#defer(offset, undefined, 64);
    } else this.#ram.zero(offset);
  }

  /** Writes what was kept. */
  settle(): void {
    this.#flush(0);
    this.#keeping = false;
    this.#writeDeferred();
  }

  #flush(nextOffset: number): void {
    if (this.#runBytes > 0) {
      const data = this.#run.subarray(0, this.#runBytes);
      if (this.#mustDefer()) this.#defer(this.#runAt, Buffer.from(data), data.length);
      else this.#write(this.#runAt, data);
    }
    this.#runAt = nextOffset;
    this.#runBytes = 0;
  }

  #mustDefer(): boolean {
    return this.#keeping && Atomics.load(this.#stopped, 0) === 1;
  }

  #defer(offset: number, data: Buffer<ArrayBuffer> | undefined, cost: number): void {
    this.#deferred.push({ offset, data });
    this.#deferredBytes += cost;
    if (this.#deferredBytes > maxDeferredBytes) {
      this.#keeping = false;
      this.#writeDeferred();
    }
  }

  #writeDeferred(): void {
    for (const { offset, data } of this.#deferred) {
      if (data === undefined) this.#ram.zero(offset);
      else {
        this.#write(offset, data);
        freeNow(data);
      }
    }
    this.#deferred = [];
  }

  /** Passes on the runs of pages the guest has copies of its own of. */
  #write(offset: number, data: Buffer): void {
    const own = this.#memory.privatePages(offset, data.length);
    for (let from = own.indexOf(1); from >= 0;) {
      const end = own.indexOf(0, from);
      const to = end < 0 ? own.length : end;
      this.#ram.write(offset + from * pageBytes, data.subarray(from * pageBytes, to * pageBytes));
      from = own.indexOf(1, to);
    }
  }
}

/** A capture of a running VM, as far as the worker does it: receives QEMU's migration stream and writes the files. Steps in the order of the methods; `close` in any case. */
export class LiveCapture {
  readonly #job: LiveJob;
  readonly #server: net.Server;
  readonly #received = Promise.withResolvers<void>();
  #memory: GuestMemory | undefined;
  #ram: RamFile | undefined;
  #gatherer: Gatherer | undefined;
  #splitter: StreamSplitter | undefined;
  #connection: net.Socket | undefined;

  constructor(job: LiveJob) {
    this.#job = job;
    this.#server = net.createServer((connection) => this.#receive(connection));
    // Told to whoever calls `receive`.
    this.#received.promise.catch(() => {});
  }

  async listen(): Promise<void> {
    const { pid, vmDir, targetDir, ramBytes, uid } = this.#job;
    const origin = path.join(vmDir, 'ram');
    this.#memory = new GuestMemory(pid, origin, ramBytes);
    this.#ram = new RamFile(origin, path.join(targetDir, 'ram'), ramBytes);
    this.#gatherer = new Gatherer(this.#ram, this.#memory, this.#job.stopped);
    this.#splitter = new StreamSplitter({ name: 'ram', bytes: ramBytes }, this.#gatherer);
    startFlush(path.join(vmDir, 'disk'));
    // Through the hypervisor's own directory: the path of the working directory may be too long for a socket.
    const socket = `/proc/${pid}/cwd/${runFiles.stream}`;
    fs.rmSync(socket, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(socket, resolve);
    });
    fs.lchownSync(socket, uid, uid);
  }

  /** Resolves when the whole stream is here. */
  async receive(): Promise<void> {
    await this.#received.promise;
  }

  /** The disk is cloned; its size goes into the result. */
  async finish(diskBytes: number): Promise<CapturedFiles> {
    const { targetDir, ramBytes } = this.#job;
    if (
      this.#ram === undefined ||
      this.#memory === undefined ||
      this.#gatherer === undefined ||
      this.#splitter === undefined
    )
      throw new Error('no live capture under way');
    const state = this.#splitter.end();
    this.#gatherer.settle();
    await this.#ram.finish(this.#memory);
    this.#ram.sync();
    syncFile(path.join(targetDir, 'disk'));
    const devSha256 = writeDev(path.join(targetDir, 'dev'), state);
    return {
      changedRamBytes: this.#ram.changedBytes,
      devSha256,
      sizes: { disk: diskBytes, ram: ramBytes, dev: state.length },
    };
  }

  /** Idempotent. */
  close(): void {
    this.#connection?.destroy();
    this.#server.close();
    this.#ram?.close();
    this.#memory?.close();
    this.#ram = undefined;
    this.#memory = undefined;
    this.#gatherer = undefined;
    this.#splitter = undefined;
    this.#received.reject(new Error('live capture closed'));
  }

  #receive(connection: net.Socket): void {
    if (this.#connection !== undefined) {
      connection.destroy();
      return;
    }
    this.#connection = connection;
    connection.on('data', (chunk: Buffer<ArrayBuffer>) => {
      try {
        this.#splitter?.push(chunk);
        freeNow(chunk);
      } catch (error) {
        this.#received.reject(error);
        connection.destroy();
      }
    });
    connection.once('error', (error) => this.#received.reject(error));
    connection.once('end', () => {
      try {
        this.#splitter?.end();
        this.#received.resolve();
      } catch (error) {
        this.#received.reject(error);
      }
    });
  }
}
