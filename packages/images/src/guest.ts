import { createHash } from 'node:crypto';
import { copyFile, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { FileHandle } from 'node:fs/promises';
import { SylphError } from '@sylph/model';
import { writeCpio } from './cpio.ts';
import { initrdEntries, type InitrdModules } from './initrd.ts';
import { provideKernel, type Kernel } from './kernel.ts';
import { guestManifest, type GuestManifest } from './manifests.ts';
import { bootModules, moduleLoadOrder } from './modules.ts';
import type { Progress } from './run.ts';
import { exists, Staging } from './staging.ts';

/** Changes when the same kernel and agent give another initrd. */
const builderRevision = 1;
const guestName = /^[0-9a-f]{64}$/;

/** What {@link buildGuest} needs. */
export interface BuildGuestOptions {
  /** Directory of the current guest, `<digest>/{kernel,initrd,guest.json}`; others found in it are removed. */
  outDir: string;
  /** The agent: a static executable, becomes `/init`. */
  agentPath: string;
  /** Debian release the kernel comes from. Default `trixie`. */
  suite?: string;
  /** Where unpacked kernels are kept between builds. Default: `kernel` beside `outDir`. */
  kernelDir?: string;
  /** Look for a newer kernel instead of using the one fetched before. */
  refreshKernel?: boolean;
  progress?: Progress;
  signal?: AbortSignal;
}

/** A guest on disk. */
export interface Guest {
  digest: string;
  dir: string;
  /** Path of the kernel. */
  kernel: string;
  /** Path of the initrd. */
  initrd: string;
  manifest: GuestManifest;
}

/**
 * Builds the kernel and initrd that sprites boot, or returns the ones already built from the same kernel and agent (a few milliseconds).
 * Safe to call from several processes at once. Throws `host_unfit` for a missing program or agent.
 */
export async function buildGuest(options: BuildGuestOptions): Promise<Guest> {
  const { outDir, agentPath, suite = 'trixie', signal } = options;
  const progress = options.progress ?? (() => {});
  if (!(await exists(agentPath))) {
    throw new SylphError('host_unfit', `the guest agent ${agentPath} is missing`, {
      hint: 'Run `npm run setup`, which builds it.',
    });
  }
  const kernelDir = options.kernelDir ?? join(dirname(outDir), 'kernel');
  const kernel = await provideKernel({ kernelDir, suite, refresh: options.refreshKernel ?? false, progress, signal });
  const agent = await fileFacts(agentPath);
  const kernelFacts = await fileFacts(kernel.image);
  const inputs = hash(JSON.stringify([builderRevision, suite, kernel.release, kernelFacts.sha256, agent.sha256]));
  const built = await findBuilt(outDir, inputs);
  if (built) {
    await removeOthers(outDir, built.digest);
    return built;
  }

  progress(`packing the initrd: agent and modules of Linux ${kernel.release}`);
  await using staging = await Staging.create(outDir);
  const modules = await readModules(kernel);
  await copyFile(kernel.image, join(staging.dir, 'kernel'));
  await writeInitrd(join(staging.dir, 'initrd'), agentPath, modules, signal);
  const initrd = await fileFacts(join(staging.dir, 'initrd'));
  const manifest: GuestManifest = {
    version: 1,
    digest: hash(`${kernelFacts.sha256}\n${initrd.sha256}\n`),
    inputs,
    suite,
    protocol: 1,
    kernel: { ...kernelFacts, release: kernel.release },
    initrd,
    agent,
    bootModules: modules.boot,
    createdAt: new Date().toISOString(),
  };
  await writeFile(join(staging.dir, 'guest.json'), `${JSON.stringify(guestManifest.parse(manifest), null, 2)}\n`);
  const guest = guestAt(await staging.publish(manifest.digest), manifest);
  await removeOthers(outDir, guest.digest);
  return guest;
}

/** Guests of earlier agents and kernels: whoever uses one has its own copy. */
async function removeOthers(outDir: string, digest: string): Promise<void> {
  for (const name of await readdir(outDir)) {
    if (!guestName.test(name) || name === digest) continue;
    const doomed = join(outDir, `rm-${name}`);
    await rename(join(outDir, name), doomed);
    await rm(doomed, { recursive: true, force: true });
  }
}

function guestAt(dir: string, manifest: GuestManifest): Guest {
  return { digest: manifest.digest, dir, kernel: join(dir, 'kernel'), initrd: join(dir, 'initrd'), manifest };
}

async function findBuilt(outDir: string, inputs: string): Promise<Guest | undefined> {
  const names = await readdir(outDir).catch(() => []); // no directory yet: nothing was built
  for (const name of names.filter((entry) => guestName.test(entry))) {
    const dir = join(outDir, name);
    const manifest = guestManifest.parse(JSON.parse(await readFile(join(dir, 'guest.json'), 'utf8')));
    if (manifest.inputs === inputs) return guestAt(dir, manifest);
  }
  return undefined;
}

async function readModules(kernel: Kernel): Promise<InitrdModules> {
  const [dep, builtin] = await Promise.all(
    ['modules.dep', 'modules.builtin'].map((name) => readFile(join(kernel.modules, name), 'utf8')),
  );
  return { release: kernel.release, dir: kernel.modules, boot: moduleLoadOrder(dep ?? '', builtin ?? '', bootModules) };
}

async function writeInitrd(
  path: string,
  agentPath: string,
  modules: InitrdModules,
  signal: AbortSignal | undefined,
): Promise<void> {
  const entries = await initrdEntries(await readFile(agentPath), modules, signal);
  await using out: FileHandle = await open(path, 'wx', 0o644);
  for (const piece of writeCpio(entries)) await out.write(piece);
}

async function fileFacts(path: string): Promise<{ sizeBytes: number; sha256: string }> {
  const { size } = await stat(path);
  return {
    sizeBytes: size,
    sha256: createHash('sha256')
      .update(await readFile(path))
      .digest('hex'),
  };
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
