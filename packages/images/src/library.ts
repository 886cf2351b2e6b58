import { constants } from 'node:fs';
import { copyFile, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SylphError } from '@sylph/model';
import { contentDigest } from './disk.ts';
import { imageManifest, type ImageManifest } from './manifests.ts';
import { run } from './run.ts';
import { specDigest, type ImageSpec } from './spec.ts';
import { exists, Staging } from './staging.ts';

const copyTimeoutMs = 30 * 60_000;

/** An image on disk. */
export interface Image {
  dir: string;
  /** Path of the root disk. */
  disk: string;
  manifest: ImageManifest;
}

/** The images in a directory, newest first. Empty when the directory does not exist. */
export async function listImages(dir: string): Promise<Image[]> {
  const names = await readdir(dir).catch(() => []); // no directory yet: no images
  const images: Image[] = [];
  for (const name of names.filter((entry) => /^[0-9a-f]{64}$/.test(entry)))
    images.push(await readImage(join(dir, name)));
  return images.toSorted((a, b) => (a.manifest.createdAt < b.manifest.createdAt ? 1 : -1));
}

/** The newest image in a directory that was built from this very spec. */
export async function findImage(dir: string, spec: ImageSpec): Promise<Image | undefined> {
  const wanted = specDigest(spec);
  return (await listImages(dir)).find(({ manifest }) => manifest.specDigest === wanted);
}

async function readImage(dir: string): Promise<Image> {
  const manifest = imageManifest.parse(JSON.parse(await readFile(join(dir, 'image.json'), 'utf8')));
  return { dir, disk: join(dir, 'rootfs.img'), manifest };
}

/** What {@link importImage} needs. */
export interface ImportImageOptions {
  /** A finished image: a directory with rootfs.img and image.json. */
  from: string;
  /** Directory of images to copy it into. */
  outDir: string;
  signal?: AbortSignal;
}

/**
 * Copies a finished image into another directory of images: by reflink where both lie on one file system that can, otherwise its data
 * without its holes, checked against its digest. Returns the image as imported; one that is there already stays as it is.
 * Throws `internal` when the copy does not have the digest its manifest names.
 */
export async function importImage({ from, outDir, signal }: ImportImageOptions): Promise<Image> {
  const source = await readImage(from);
  const { digest } = source.manifest;
  if (await exists(join(outDir, digest))) return await readImage(join(outDir, digest));
  await using staging = await Staging.create(outDir);
  const disk = join(staging.dir, 'rootfs.img');
  if (!(await cloneFile(source.disk, disk))) {
    await run('cp', ['--sparse=always', '--', source.disk, disk], { signal, timeoutMs: copyTimeoutMs });
    const copied = await contentDigest(disk, signal);
    if (copied !== digest) {
      throw new SylphError(
        'internal',
        `the image ${from} is damaged: its disk has the digest ${copied}, not ${digest}`,
        {
          hint: `Remove ${from} and build the image again.`,
        },
      );
    }
  }
  await copyFile(join(from, 'image.json'), join(staging.dir, 'image.json'));
  return await readImage(await staging.publish(digest));
}

/** What FICLONE fails with where blocks cannot be shared (ioctl_ficlone(2)), or where a file system has no such call. */
const cannotClone = new Set(['ENOTSUP', 'EXDEV', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL', 'ENOTTY']);

/** Shares a file's blocks with a new one; false where the file systems cannot. */
async function cloneFile(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
    return true;
  } catch (error) {
    if (cannotClone.has((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}
