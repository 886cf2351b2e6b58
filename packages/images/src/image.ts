import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SylphError } from '@sylph/model';
import { stringify as stringifyToml } from 'smol-toml';
import { downloadNpm, npmVersions } from './npm.ts';
import { customizeScript } from './customize.ts';
import { debianSources } from './debian-sources.ts';
import { contentDigest, makeDisk, storedBytes } from './disk.ts';
import { imageManifest, type ImageManifest } from './manifests.ts';
import { run, type Progress } from './run.ts';
import { runContained } from './sandbox.ts';
import { specDigest, type ImageSpec } from './spec.ts';
import { Staging } from './staging.ts';

/** What the product calls a GB of a disk. */
const gib = 2 ** 30;
const buildTimeoutMs = 90 * 60_000;
const queryTimeoutMs = 60_000;

/** What {@link buildImage} needs. */
export interface BuildImageOptions {
  spec: ImageSpec;
  /** Directory of images, `<digest>/{rootfs.img,image.json}`; the build happens inside it. */
  outDir: string;
  progress?: Progress;
  signal?: AbortSignal;
}

/**
 * Builds a root disk from its spec and publishes it as `outDir/<digest>`. Takes a minute or two for a small image and needs root and a
 * Debian mirror. A failed or aborted build leaves nothing behind. Throws `host_unfit` when the machine cannot build.
 */
export async function buildImage({
  spec,
  outDir,
  progress = () => {},
  signal,
}: BuildImageOptions): Promise<ImageManifest> {
  requireBuilder();
  await using staging = await Staging.create(outDir);
  const tree = join(staging.dir, 'tree');
  const disk = join(staging.dir, 'rootfs.img');
  await makeTree(spec, tree, staging.dir, progress, signal);
  const packages = await debianVersions(tree, signal);
  const npm = await npmVersions(tree);
  progress(`writing the disk: ${Object.keys(packages).length} packages, ${spec.size_gb} GB`);
  const diskBytes = spec.size_gb * gib;
  await makeDisk(tree, disk, { diskBytes, progress, signal });
  await rm(tree, { recursive: true });
  progress('hashing the disk');
  const manifest: ImageManifest = imageManifest.parse({
    version: 1,
    name: spec.name,
    digest: await contentDigest(disk, signal),
    description: spec.description,
    suite: spec.suite,
    specDigest: specDigest(spec),
    spec: stringifyToml(spec),
    user: { name: spec.user.name, uid: spec.user.uid, home: `/home/${spec.user.name}`, shell: spec.user.shell },
    diskBytes,
    sizeBytes: await storedBytes(disk),
    packages,
    npm,
    createdAt: new Date().toISOString(),
  } satisfies ImageManifest);
  await writeFile(join(staging.dir, 'image.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  await staging.publish(manifest.digest);
  return manifest;
}

function requireBuilder(): void {
  if (process.getuid?.() !== 0)
    throw new SylphError('host_unfit', 'building an image needs root', { hint: 'Run it with sudo.' });
  if (process.arch !== 'x64')
    throw new SylphError('host_unfit', `images are built on x86-64 machines, this one is ${process.arch}`);
}

/** Fills `tree` with the system. `scratch` takes what the build needs besides, and is empty of it again afterwards. */
async function makeTree(
  spec: ImageSpec,
  tree: string,
  scratch: string,
  progress: Progress,
  signal: AbortSignal | undefined,
): Promise<void> {
  const work = join(scratch, 'work');
  const [filesDir, npmDir, home, script] = ['files', 'npm', 'home', 'customize'].map((name) => join(work, name)) as [
    string,
    string,
    string,
    string,
  ];
  for (const dir of [filesDir, npmDir, home]) await mkdir(dir, { recursive: true });
  // First, because it fails sooner than Debian's part does.
  if (spec.npm.length > 0) await downloadNpm(spec.npm, { npmDir, home, progress, signal });
  for (const [index, { content }] of spec.files.entries()) await writeFile(join(filesDir, String(index)), content);
  await writeFile(script, customizeScript(spec, { filesDir, npmDir }));
  await chmod(script, 0o755);
  const docs = spec.docs
    ? []
    : ['doc', 'man', 'info', 'locale'].map((part) => `--dpkgopt=path-exclude=/usr/share/${part}/*`);
  const licences = spec.docs ? [] : ['--dpkgopt=path-include=/usr/share/doc/*/copyright'];
  const include = spec.packages.length > 0 ? [`--include=${spec.packages.join(',')}`] : [];
  const options = [
    '--variant=minbase',
    '--aptopt=APT::Install-Recommends "false"',
    ...docs,
    ...licences,
    ...include,
    `--customize-hook=${script}`,
  ];
  progress(`installing Debian ${spec.suite} with ${spec.packages.length} packages on top`);
  await runContained('mmdebstrap', [...options, spec.suite, tree, ...(await debianSources(spec.suite))], {
    signal,
    timeoutMs: buildTimeoutMs,
    onLine: progress,
  });
  await rm(work, { recursive: true });
}

async function debianVersions(tree: string, signal: AbortSignal | undefined): Promise<Record<string, string>> {
  const args = [`--admindir=${join(tree, 'var/lib/dpkg')}`, '--show', '--showformat=${Package} ${Version}\\n'];
  const text = (await run('dpkg-query', args, { collect: true, signal, timeoutMs: queryTimeoutMs })).toString();
  return Object.fromEntries(
    text
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split(' ') as [string, string]),
  );
}
