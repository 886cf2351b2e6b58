import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { reflink, syncFiles } from './files.ts';
import { snapshotFiles, type FloorSnapshot } from './machine.ts';
import { splitStream, type SplitStream } from './stream.ts';
import type { FloorVm } from './vm.ts';

const migrationDeadlineMs = 60_000;
/** Pages a second QEMU may send: no limit. */
const maxBandwidth = 1e12;
/** Pause QEMU aims at in its last round. */
const downtimeLimitMs = 10;

/** Captures a VM that runs on: QEMU's own migration, split into a RAM file and a small device state; disk reflink in the pause; fsync afterwards. */
export async function captureLive(vm: FloorVm, ramMib: number, target: FloorSnapshot): Promise<void> {
  fs.mkdirSync(target.dir);
  const at = (name: string): string => path.join(target.dir, name);
  const ramFd = fs.openSync(at(snapshotFiles.ram), 'w');
  try {
    fs.ftruncateSync(ramFd, ramMib * 2 ** 20);
    await using stream = await listen(path.join(vm.dir, 'stream'));
    const split = stream.socket.then((socket) =>
      splitStream(socket, { ramBlock: 'ram', ramFd, ramBytes: ramMib * 2 ** 20 }),
    );
    // Awaited below; until then QEMU's own error says more than that of its stream.
    split.catch(() => undefined);
    await vm.qmp.command('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] });
    await vm.qmp.command('migrate-set-parameters', {
      'max-bandwidth': maxBandwidth,
      'downtime-limit': downtimeLimitMs,
    });
    const ended = vm.qmp.event(
      ({ name, data }) => name === 'MIGRATION' && (data['status'] === 'completed' || data['status'] === 'failed'),
      migrationDeadlineMs,
    );
    await vm.qmp.command('migrate', { uri: 'unix:stream' });
    const end = await ended;
    if (end.data['status'] !== 'completed') throw new Error('QEMU could not migrate');
    reflink(path.join(vm.dir, 'disk'), at(snapshotFiles.disk));
    await vm.qmp.command('cont');
    finish(await split, ramFd, at(snapshotFiles.dev));
    await syncFiles(target.dir, Object.values(snapshotFiles));
  } finally {
    fs.closeSync(ramFd);
  }
}

/** Writes what came while the guest stood still: it was kept in memory so as not to hold the stream up. */
function finish(split: SplitStream, ramFd: number, dev: string): void {
  for (const { offset, data } of split.lastPages) fs.writeSync(ramFd, data, 0, data.length, offset);
  fs.writeFileSync(dev, split.state);
}

async function listen(socketPath: string): Promise<AsyncDisposable & { socket: Promise<net.Socket> }> {
  fs.rmSync(socketPath, { force: true });
  const server = net.createServer();
  const socket = new Promise<net.Socket>((resolve) => server.once('connection', resolve));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, () => resolve());
  });
  return { socket, [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}
