import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Vm } from '@sylph/engine';
import { pageBytes } from '@sylph/model';
import { QemuDriver } from './driver.ts';
import { mappingOf, processFacts } from './procfs.ts';
import { runProgram } from './supervise.ts';
import { Guest } from './testing/guest.ts';
import { VmFixture } from './testing/vm-fixture.ts';

/** Real VMs. One boots; all others start from what was captured of it. */
const ramMib = 320;
const deadline = (): AbortSignal => AbortSignal.timeout(100_000);
const nothing = (): void => {};

let fixture: VmFixture;
/** Captured while a shell held a number in memory: on a tmpfs and in a process. */
const origin = { dir: '', format: 'devices' as const };

const isGone = (pid: number): boolean => ['Z', undefined].includes(processFacts(pid)?.state);
const remembers = 'cat /run/t/word; cat /proc/$(cat /run/t/pid)/environ | tr "\\0" "\\n" | grep ^WORD=';
const expectedMemory = 'plover\nWORD=xyzzy\n';

async function recall(vm: Vm): Promise<string> {
  await using guest = await Guest.connect(vm);
  return await guest.run(remembers);
}

before(async () => {
  fixture = await VmFixture.open({ ramMib });
  const vm = await fixture.start();
  {
    await using guest = await Guest.connect(vm);
    await guest.run(
      'mkdir -p /run/t; echo plover > /run/t/word; (WORD=xyzzy exec setsid sleep 100000 </dev/null >/dev/null 2>&1 & echo $! > /run/t/pid)',
    );
  }
  origin.dir = fixture.target();
  let calls = 0;
  const report = await vm.capture(origin.dir, 'stopped', { whilePaused: () => calls++, signal: deadline() });
  assert.equal(calls, 1);
  assert.equal(report.deviceFormat, 'devices');
  assert.deepEqual(report.sizes, {
    disk: fs.statSync(path.join(origin.dir, 'disk')).size,
    ram: ramMib * 2 ** 20,
    dev: fs.statSync(path.join(origin.dir, 'dev')).size,
  });
  assert.ok(report.changedRamBytes > 10 * 2 ** 20 && report.changedRamBytes <= report.sizes.ram);
  await vm.end();
  assert.deepEqual(await vm.ended, { cause: 'asked', reason: 'ended by request' });
});

after(async () => {
  await fixture[Symbol.asyncDispose]();
});

test('a hypervisor has an account of its own, no rights and a closed sandbox', async () => {
  const vm = await fixture.start(origin);
  const status = fs.readFileSync(`/proc/${vm.pid}/status`, 'utf8');
  const field = (name: string): string => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1]?.trim() ?? '';
  const { uid } = fs.statSync(vm.dir);
  assert.match(field('Uid'), new RegExp(`^${uid}\\s+${uid}\\s+${uid}\\s+${uid}$`));
  assert.match(field('Gid'), new RegExp(`^${uid}\\s+${uid}\\s+${uid}\\s+${uid}$`));
  assert.equal(field('Groups'), '');
  assert.match(field('CapEff'), /^0+$/);
  assert.equal(field('Seccomp'), '2');
  assert.equal(
    fs
      .readFileSync(`/proc/${vm.pid}/environ`, 'utf8')
      .split('\0')
      .filter((entry) => !/^(PATH|LC_ALL)=/.test(entry))
      .join(''),
    '',
  );
  const usage = await vm.usage();
  assert.ok(usage.privateBytes > 0 && usage.cpuMs >= 0);
  await vm.end();
  await vm.end();
  assert.ok(isGone(vm.pid));
});

test('memory survives every order of captures', async () => {
  let from: { dir: string; format: 'devices' | 'stream' } = origin;
  for (const mode of ['stopped', 'live', 'live', 'stopped'] as const) {
    const vm = await fixture.start(from);
    assert.equal(await recall(vm), expectedMemory);
    const dir = fixture.target();
    const report = await vm.capture(dir, mode, { whilePaused: nothing, signal: deadline() });
    assert.equal(report.sizes.dev, fs.statSync(path.join(dir, 'dev')).size);
    assert.ok(report.changedRamBytes < 200 * 2 ** 20, 'only what changed since the last start counts');
    if (mode === 'live') assert.equal(await recall(vm), expectedMemory);
    await vm.end();
    from = { dir, format: report.deviceFormat };
  }
  const last = await fixture.start(from);
  assert.equal(await recall(last), expectedMemory);
  await last.end();
});

test('a live capture of a VM that writes has every page as it was at the paused instant', async () => {
  const vm = await fixture.start(origin);
  await using guest = await Guest.connect(vm);
  await guest.run(
    'mount -t tmpfs -o size=200m t /mnt; (while :; do dd if=/dev/urandom of=/mnt/a bs=64k count=160 conv=notrunc; rm -f /mnt/z; head -c 8000000 /dev/zero > /mnt/z; done </dev/null >/dev/null 2>&1 &)',
  );
  for (let round = 0; round < 3; round++) {
    const dir = fixture.target();
    const instant = Buffer.alloc(ramMib * 2 ** 20);
    await vm.capture(dir, 'live', { whilePaused: () => readMemory(vm, instant), signal: deadline() });
    assert.equal(differingPages(path.join(dir, 'ram'), instant), 0);
  }
  await vm.end();
});

test('a stopped capture has every page, and a VM that goes on forgets nothing', async () => {
  const vm = await fixture.start(origin);
  const dir = fixture.target();
  const instant = Buffer.alloc(ramMib * 2 ** 20);
  await vm.capture(dir, 'stopped', { whilePaused: () => readMemory(vm, instant), signal: deadline() });
  assert.equal(differingPages(path.join(dir, 'ram'), instant), 0);
  await vm.continue();
  assert.equal(await recall(vm), expectedMemory);
  await vm.end();
});

test('a capture that fails leaves a running VM running and a stopped one stopped', async () => {
  const vm = await fixture.start(origin);
  const dir = fixture.target();
  fs.writeFileSync(path.join(dir, 'disk'), 'in the way');
  await assert.rejects(vm.capture(dir, 'live', { whilePaused: nothing, signal: deadline() }), {
    code: 'vm_failed',
    message: /EEXIST/,
  });
  assert.equal(await recall(vm), expectedMemory);
  const aborted = new AbortController();
  const pending = vm.capture(fixture.target(), 'live', { whilePaused: nothing, signal: aborted.signal });
  setTimeout(() => aborted.abort(new Error('changed my mind')), 60);
  await assert.rejects(pending, /changed my mind/);
  assert.equal(await recall(vm), expectedMemory);
  const again = fixture.target();
  await vm.capture(again, 'live', { whilePaused: nothing, signal: deadline() });
  const stopped = fixture.target();
  fs.writeFileSync(path.join(stopped, 'ram'), 'in the way');
  await assert.rejects(vm.capture(stopped, 'stopped', { whilePaused: nothing, signal: deadline() }), {
    code: 'vm_failed',
    message: /EEXIST/,
  });
  vm.release();
  const adopted = await fixture.driver.adopt(vm.dir);
  assert.equal(adopted?.paused, true);
  await adopted?.continue();
  assert.equal(await recall(adopted), expectedMemory);
  await adopted?.end();
});

test('another driver adopts a VM, and sees it die', async () => {
  const vm = await fixture.start(origin);
  vm.release();
  await using driver = new QemuDriver({ stateDir: path.join(fixture.pool, 'state') });
  const adopted = await driver.adopt(vm.dir);
  assert.ok(adopted);
  assert.deepEqual([adopted.pid, adopted.paused], [vm.pid, false]);
  assert.equal(await recall(adopted), expectedMemory);
  process.kill(adopted.pid, 'SIGKILL');
  assert.equal((await adopted.ended).cause, 'died');
  assert.equal(await driver.adopt(vm.dir), undefined);
});

test('a VM whose guest powers off or resets ends by the guest, also unseen', async () => {
  for (const [command, reason] of [
    ['o', /powered off/],
    ['b', /restarted/],
  ] as const) {
    const vm = await fixture.start(origin);
    await using guest = await Guest.connect(vm);
    await guest.run(`(sleep 0.2; echo ${command} > /proc/sysrq-trigger) </dev/null >/dev/null 2>&1 &`);
    const end = await vm.ended;
    assert.equal(end.cause, 'guest', end.reason);
    assert.match(end.reason, reason);
  }
  const unseen = await fixture.start(origin);
  {
    await using guest = await Guest.connect(unseen);
    await guest.run('(sleep 1; echo b > /proc/sysrq-trigger) </dev/null >/dev/null 2>&1 &');
  }
  unseen.release();
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  assert.equal(await fixture.driver.adopt(unseen.dir), undefined);
  assert.ok(isGone(unseen.pid));
});

test('a VM whose disk has no room waits, and goes on when there is some', async () => {
  const vm = await fixture.start(origin);
  await using guest = await Guest.connect(vm);
  const fillers: string[] = [];
  // Until it stays full: the file system gives back what it had set aside for files that grow, and what was removed, when it gets round to it.
  for (let [round, full] = [0, 0]; full < 4 && round < 60; round++) {
    const { bavail, bsize } = fs.statfsSync(fixture.pool);
    const filler = path.join(fixture.pool, `filler-${round}`);
    full = bavail > 2000 ? 0 : full + 1;
    if (full === 0) {
      fillers.push(filler);
      await runProgram('xfs_io', ['-f', '-c', `falloc 0 ${(bavail - 1000) * bsize}`, filler], { deadlineMs: 30_000 });
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  let written = false;
  const writing = guest
    .run('dd if=/dev/urandom of=/root/big bs=1M count=96 conv=fsync 2>/dev/null; wc -c < /root/big')
    .then((output) => {
      written = true;
      return output;
    });
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  assert.equal(written, false);
  for (const filler of fillers) fs.rmSync(filler, { force: true });
  assert.equal(await writing, `${96 * 2 ** 20}\n`);
  await vm.end();
});

test('a state that does not load is an error that says why, and no process stays', async () => {
  const damaged = fixture.target();
  const state = fs.readFileSync(path.join(origin.dir, 'dev'));
  for (const content of [state.subarray(0, state.length >> 1), Buffer.from('nonsense'), Buffer.alloc(0)]) {
    for (const name of ['disk', 'ram']) fs.rmSync(path.join(damaged, name), { force: true });
    fs.linkSync(path.join(origin.dir, 'disk'), path.join(damaged, 'disk'));
    fs.linkSync(path.join(origin.dir, 'ram'), path.join(damaged, 'ram'));
    fs.writeFileSync(path.join(damaged, 'dev'), content);
    const spec = fixture.spec({ dir: damaged, format: 'devices' });
    await assert.rejects(fixture.driver.start(spec, { signal: deadline() }), {
      code: 'vm_failed',
      message: /^QEMU: exit code 1: .+/,
    });
    assert.equal(await fixture.driver.adopt(spec.dir), undefined);
  }
});

test('an abandoned start leaves no process', async () => {
  for (const afterMs of [0, 5, 40]) {
    const abort = new AbortController();
    const spec = fixture.spec(origin);
    const pending = fixture.driver.start(spec, { signal: abort.signal });
    setTimeout(() => abort.abort(new Error('no more')), afterMs);
    await pending.then(
      async (vm) => await vm.end(),
      (error: Error) => assert.equal(error.message, 'no more'),
    );
    assert.equal(await fixture.driver.adopt(spec.dir), undefined);
  }
});

test('a guest that prints nothing is booted once more, then given up', async () => {
  const notices: string[] = [];
  await using driver = new QemuDriver({
    stateDir: path.join(fixture.pool, 'state'),
    silenceMs: 300,
    onNotice: (notice) => notices.push(notice),
  });
  const spec = fixture.spec();
  fs.rmSync(path.join(spec.dir, 'kernel'));
  fs.writeFileSync(path.join(spec.dir, 'kernel'), silentKernel(), { mode: 0o444 });
  await assert.rejects(driver.start(spec, { signal: deadline() }), {
    code: 'vm_failed',
    message: /printed nothing for 300 ms/,
  });
  assert.equal(notices.length, 1);
  assert.equal(await driver.adopt(spec.dir), undefined);
});

/** Reads the guest's RAM as its hypervisor has it now. */
function readMemory(vm: Vm, into: Buffer): void {
  const mapping = mappingOf(vm.pid, path.join(vm.dir, 'ram'));
  assert.ok(mapping);
  const memory = fs.openSync(`/proc/${vm.pid}/mem`, 'r');
  for (let done = 0; done < into.length;)
    done += fs.readSync(memory, into, done, Math.min(into.length - done, 16 << 20), mapping.start + BigInt(done));
  fs.closeSync(memory);
}

function differingPages(file: string, instant: Buffer): number {
  const captured = fs.readFileSync(file);
  assert.equal(captured.length, instant.length);
  let count = 0;
  for (let at = 0; at < instant.length; at += pageBytes)
    if (captured.compare(instant, at, at + pageBytes, at, at + pageBytes) !== 0) count++;
  return count;
}

/** A kernel by its header (Documentation/arch/x86/boot.rst) whose code is an endless loop. */
function silentKernel(): Buffer {
  const image = Buffer.alloc(4096);
  image[0x1f1] = 1;
  image.writeUInt16LE(0xaa55, 0x1fe);
  image.writeUInt16LE(0xfeeb, 0x200);
  image.write('HdrS', 0x202, 'latin1');
  image.writeUInt16LE(0x0206, 0x206);
  image[0x211] = 1;
  image.writeUInt32LE(0x7fff_ffff, 0x22c);
  return image;
}
