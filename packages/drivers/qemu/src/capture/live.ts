import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { pageBytes } from '@sylph/model';
import { runFiles } from '../args.ts';
import { cloneDisk, startFlush, syncFile, writeDev } from './files.ts';
import type { CaptureJob, CapturedFiles } from './jobs.ts';
import { GuestMemory } from './memory.ts';
import { RamFile, batchBytes } from './pages.ts';
import { type RamSink, StreamSplitter } from './stream.ts';

/** Pages of the last round that may wait in memory until the guest runs again. More than that is written while it stands still. */
const maxDeferredBytes = 256 << 20;

/** Gathers pages into runs, drops those the guest never wrote, and from the switch-over on keeps all in memory until `settle`. */
class Gatherer implements RamSink {
  readonly #ram: RamFile;
  readonly #memory: GuestMemory;
  readonly #onSwitchover: () => void;
  #run = Buffer.allocUnsafe(batchBytes);
  #runAt = 0;
  #runBytes = 0;
  #deferred: { offset: number; data: Buffer | undefined }[] = [];
  #deferredBytes = 0;
  #deferring = false;

  constructor(ram: RamFile, memory: GuestMemory, onSwitchover: () => void) {
    this.#ram = ram;
    this.#memory = memory;
    this.#onSwitchover = onSwitchover;
  }

  page(offset: number, source: Buffer, at: number): void {
    if (offset !== this.#runAt + this.#runBytes || this.#runBytes === batchBytes) this.#flush(offset);
    source.copy(this.#run, this.#runBytes, at, at + pageBytes);
    this.#runBytes += pageBytes;
  }

  zero(offset: number): void {
    if (offset >= this.#runAt && offset < this.#runAt + this.#runBytes) this.#flush(offset);
    if (this.#deferring) {
      // A bound on the list too: its entries are small, but a guest can clear any number of pages.
      this.#defer(offset, undefined, 64);
    } else this.#ram.zero(offset);
  }

  switchover(): void {
    this.#flush(0);
    this.#deferring = true;
    this.#onSwitchover();
  }

  /** Writes what was kept. */
  settle(): void {
    this.#flush(0);
    this.#deferring = false;
    for (const { offset, data } of this.#deferred) {
      if (data === undefined) this.#ram.zero(offset);
      else this.#write(offset, data);
    }
    this.#deferred = [];
  }

  #flush(nextOffset: number): void {
    if (this.#runBytes > 0) {
      const data = this.#run.subarray(0, this.#runBytes);
      if (this.#deferring) this.#defer(this.#runAt, Buffer.from(data), data.length);
      else this.#write(this.#runAt, data);
    }
    this.#runAt = nextOffset;
    this.#runBytes = 0;
  }

  #defer(offset: number, data: Buffer | undefined, cost: number): void {
    this.#deferred.push({ offset, data });
    this.#deferredBytes += cost;
    if (this.#deferredBytes > maxDeferredBytes) {
      this.#deferredBytes = Number.NEGATIVE_INFINITY;
      const rest = this.#deferred;
      this.#deferred = [];
      this.#deferring = false;
      for (const one of rest) {
        if (one.data === undefined) this.#ram.zero(one.offset);
        else this.#write(one.offset, one.data);
      }
    }
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
  readonly #job: CaptureJob & { uid: number };
  readonly #server: net.Server;
  readonly #received = Promise.withResolvers<void>();
  #memory: GuestMemory | undefined;
  #ram: RamFile | undefined;
  #gatherer: Gatherer | undefined;
  #splitter: StreamSplitter | undefined;
  #connection: net.Socket | undefined;
  #disk: Promise<number> | undefined;

  constructor(job: CaptureJob & { uid: number }) {
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
    this.#gatherer = new Gatherer(this.#ram, this.#memory, () => this.#cloneDisk());
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

  /** Resolves when the whole stream is here and the disk is cloned, the VM standing still. */
  async receive(): Promise<void> {
    await this.#received.promise;
    this.#cloneDisk();
    await this.#disk;
  }

  async finish(): Promise<CapturedFiles> {
    const { targetDir, ramBytes } = this.#job;
    if (
      this.#ram === undefined ||
      this.#memory === undefined ||
      this.#gatherer === undefined ||
      this.#splitter === undefined
    )
      throw new Error('no live capture under way');
    const state = this.#splitter.end();
    const disk = await this.#disk;
    if (disk === undefined) throw new Error('the disk was not cloned');
    this.#gatherer.settle();
    await this.#ram.finish(this.#memory);
    this.#ram.sync();
    syncFile(path.join(targetDir, 'disk'));
    const devSha256 = writeDev(path.join(targetDir, 'dev'), state);
    return { changedRamBytes: this.#ram.changedBytes, devSha256, sizes: { disk, ram: ramBytes, dev: state.length } };
  }

  /** Idempotent. */
  close(): void {
    this.#connection?.destroy();
    this.#server.close();
    this.#ram?.close();
    this.#memory?.close();
    this.#ram = undefined;
    this.#memory = undefined;
    this.#received.reject(new Error('live capture closed'));
  }

  /** While the last pages are still coming: the announcement is sent after the guest's writes have been drained and flushed. A QEMU that announces nothing has it done at the end of the stream. */
  #cloneDisk(): void {
    this.#disk ??= cloneDisk(path.join(this.#job.vmDir, 'disk'), path.join(this.#job.targetDir, 'disk'));
    // A failure is told to whoever awaits it.
    this.#disk.catch(() => {});
  }

  #receive(connection: net.Socket): void {
    if (this.#connection !== undefined) {
      connection.destroy();
      return;
    }
    this.#connection = connection;
    connection.on('data', (chunk: Buffer) => {
      try {
        this.#splitter?.push(chunk);
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
