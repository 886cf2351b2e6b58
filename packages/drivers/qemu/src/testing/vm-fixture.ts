import fs from 'node:fs';
import path from 'node:path';
import type { Vm, VmSpec } from '@sylph/engine';
import type { MachineIdentity } from '@sylph/model';
import { QemuDriver } from '../driver.ts';
import { runProgram } from '../supervise.ts';
import { makeReflinkDir } from './reflink-dir.ts';

const cache = path.resolve(import.meta.dirname, '../../../../../.cache');
const firstUid = 262_144;
const startDeadlineMs = 110_000;

/** Real VMs for a test file: a reflink file system with the guest and disk that set-up has built, and a driver. */
export class VmFixture implements AsyncDisposable {
  readonly driver: QemuDriver;
  readonly notices: string[];
  readonly pool: string;
  readonly ramMib: number;
  readonly #machine: MachineIdentity;
  readonly #stack: AsyncDisposableStack;
  #count = 0;

  private constructor(parts: {
    driver: QemuDriver;
    notices: string[];
    pool: string;
    ramMib: number;
    machine: MachineIdentity;
    stack: AsyncDisposableStack;
  }) {
    this.driver = parts.driver;
    this.notices = parts.notices;
    this.pool = parts.pool;
    this.ramMib = parts.ramMib;
    this.#machine = parts.machine;
    this.#stack = parts.stack;
  }

  static async open(options: { ramMib: number }): Promise<VmFixture> {
    await using stack = new AsyncDisposableStack();
    const pool = stack.use(await makeReflinkDir()).path;
    const guest = newestBuild('guest', 'guest.json', () => true);
    fs.copyFileSync(path.join(guest, 'kernel'), path.join(pool, 'kernel'));
    fs.copyFileSync(path.join(guest, 'initrd'), path.join(pool, 'initrd'));
    await runProgram(
      'cp',
      [
        '--sparse=always',
        path.join(
          newestBuild('images', 'image.json', ({ name }) => name === 'minimal'),
          'rootfs.img',
        ),
        path.join(pool, 'base'),
      ],
      { deadlineMs: 60_000 },
    );
    for (const name of ['kernel', 'initrd']) fs.chmodSync(path.join(pool, name), 0o444);
    const notices: string[] = [];
    const driver = stack.use(
      new QemuDriver({ stateDir: path.join(pool, 'state'), onNotice: (notice) => notices.push(notice) }),
    );
    const { reason: _, ...machine } = await driver.machine({
      kernel: path.join(pool, 'kernel'),
      initrd: path.join(pool, 'initrd'),
    });
    return new VmFixture({ driver, notices, pool, ramMib: options.ramMib, machine, stack: stack.move() });
  }

  /** A working directory as the store makes it: from a snapshot directory, or fresh. */
  spec(from?: { dir: string; format: 'devices' | 'stream' }): VmSpec {
    const number = ++this.#count;
    const uid = firstUid + number;
    const dir = path.join(this.pool, `vm-${number}`);
    fs.mkdirSync(path.join(dir, 'run'), { recursive: true });
    fs.copyFileSync(
      from === undefined ? path.join(this.pool, 'base') : path.join(from.dir, 'disk'),
      path.join(dir, 'disk'),
      fs.constants.COPYFILE_FICLONE_FORCE,
    );
    if (from === undefined) {
      fs.writeFileSync(path.join(dir, 'ram'), '', { mode: 0o444 });
      fs.truncateSync(path.join(dir, 'ram'), this.ramMib * 2 ** 20);
    } else fs.linkSync(path.join(from.dir, 'ram'), path.join(dir, 'ram'));
    for (const name of ['kernel', 'initrd']) fs.linkSync(path.join(this.pool, name), path.join(dir, name));
    for (const name of ['', 'run', 'disk']) {
      fs.chownSync(path.join(dir, name), uid, uid);
      fs.chmodSync(path.join(dir, name), name === 'disk' ? 0o600 : 0o700);
    }
    return {
      spriteId: `sprite-test-${number}`,
      dir,
      uid,
      shape: { cpus: 2, ramMib: this.ramMib, storageGb: 20 },
      machine: this.#machine,
      network: {
        kind: 'user',
        restricted: true,
        mac: '52:54:00:12:34:56',
        subnet: '10.0.0.0/24',
        guestAddress: '10.0.0.1',
        gateway: '10.0.0.2',
        dns: '10.0.0.3',
      },
      ...(from === undefined ? {} : { memory: { devPath: path.join(from.dir, 'dev'), format: from.format } }),
    };
  }

  /** Starts a VM that ends with the fixture at the latest. */
  async start(from?: { dir: string; format: 'devices' | 'stream' }): Promise<Vm> {
    const vm = await this.driver.start(this.spec(from), { signal: AbortSignal.timeout(startDeadlineMs) });
    this.#stack.defer(async () => await vm.end());
    return vm;
  }

  /** An empty directory for a capture. */
  target(): string {
    const dir = path.join(this.pool, `snapshot-${++this.#count}`);
    fs.mkdirSync(dir);
    return dir;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }
}

/** Newest finished build of its kind: its manifest is written last. */
function newestBuild(kind: string, manifest: string, isWanted: (manifest: { name?: string }) => boolean): string {
  const root = path.join(cache, kind);
  const files = fs
    .globSync(path.join(root, '*', manifest))
    .filter((file) => isWanted(JSON.parse(fs.readFileSync(file, 'utf8')) as { name?: string }));
  const newest = files.toSorted((a, b) => fs.statSync(b).mtimeMs - fs.statSync(a).mtimeMs)[0];
  if (newest === undefined) throw new Error(`nothing in ${root}: run \`npm run setup\` first`);
  return path.dirname(newest);
}
