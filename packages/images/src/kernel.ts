import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SylphError } from '@sylph/model';
import * as z from 'zod';
import { debianSources } from './debian-sources.ts';
import { runContained } from './sandbox.ts';
import { run, type Progress } from './run.ts';
import { Staging } from './staging.ts';

const kernelPackage = 'linux-image-cloud-amd64';
const fetchTimeoutMs = 15 * 60_000;
const depmodTimeoutMs = 60_000;

/** `kernel.json`: a kernel as Debian ships it, unpacked. */
const kernelManifest = z.strictObject({
  version: z.literal(1),
  suite: z.string(),
  release: z.string(),
  fetchedAt: z.iso.datetime(),
});

/** An unpacked kernel. */
export interface Kernel {
  release: string;
  /** The bootable kernel. */
  image: string;
  /** The release's modules with `modules.dep`. */
  modules: string;
}

/** How a kernel is obtained. */
export interface KernelOptions {
  /** Directory of unpacked kernels, one per suite and release. */
  kernelDir: string;
  suite: string;
  /** Fetch the newest even when one is there. */
  refresh: boolean;
  progress: Progress;
  signal?: AbortSignal | undefined;
}

/** The newest fetched kernel of a suite; fetches Debian's current one when there is none or `refresh` is set. */
export async function provideKernel(options: KernelOptions): Promise<Kernel> {
  const found = options.refresh ? undefined : await newestKernel(options.kernelDir, options.suite);
  return found ?? (await fetchKernel(options));
}

async function newestKernel(kernelDir: string, suite: string): Promise<Kernel | undefined> {
  const names = await readdir(kernelDir).catch(() => []); // no directory yet: nothing was fetched
  const found: { fetchedAt: string; kernel: Kernel }[] = [];
  for (const name of names.filter((entry) => entry.startsWith(`${suite}-`))) {
    const dir = join(kernelDir, name);
    const manifest = kernelManifest.parse(JSON.parse(await readFile(join(dir, 'kernel.json'), 'utf8')));
    found.push({ fetchedAt: manifest.fetchedAt, kernel: kernelAt(dir, manifest.release) });
  }
  return found.toSorted((a, b) => (a.fetchedAt < b.fetchedAt ? 1 : -1))[0]?.kernel;
}

function kernelAt(dir: string, release: string): Kernel {
  return { release, image: join(dir, 'vmlinuz'), modules: join(dir, 'lib/modules', release) };
}

async function fetchKernel({ kernelDir, suite, progress, signal }: KernelOptions): Promise<Kernel> {
  await using staging = await Staging.create(kernelDir);
  const tree = join(staging.dir, 'tree');
  progress(`fetching Debian ${suite}'s ${kernelPackage}`);
  await runContained(
    'mmdebstrap',
    ['--variant=extract', `--include=${kernelPackage}`, suite, tree, ...(await debianSources(suite))],
    {
      signal,
      timeoutMs: fetchTimeoutMs,
      onLine: progress,
    },
  );
  const release = await onlyRelease(join(tree, 'usr/lib/modules'));
  await mkdir(join(staging.dir, 'lib/modules'), { recursive: true });
  await cp(join(tree, 'usr/lib/modules', release), join(staging.dir, 'lib/modules', release), { recursive: true });
  await cp(join(tree, 'boot', `vmlinuz-${release}`), join(staging.dir, 'vmlinuz'));
  await rm(tree, { recursive: true });
  // Debian makes modules.dep in the package's postinst, which was not run.
  await run('depmod', ['-b', staging.dir, release], { signal, timeoutMs: depmodTimeoutMs, onLine: progress });
  const manifest: z.input<typeof kernelManifest> = { version: 1, suite, release, fetchedAt: new Date().toISOString() };
  await writeFile(join(staging.dir, 'kernel.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  return kernelAt(await staging.publish(`${suite}-${release}`), release);
}

async function onlyRelease(dir: string): Promise<string> {
  const releases = await readdir(dir);
  const [release] = releases;
  if (release === undefined || releases.length > 1) {
    throw new SylphError(
      'internal',
      `${kernelPackage} brought ${releases.length} kernels instead of one: ${releases.join(', ')}`,
    );
  }
  return release;
}
