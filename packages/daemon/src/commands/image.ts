import fs from 'node:fs/promises';
import path from 'node:path';
import { buildImage, findImage, importImage, listImages, readImageSpec } from '@sylph/images';
import { SylphError } from '@sylph/model';
import { closePool, isMounted, openPool, PoolDirectory } from '@sylph/store-pool';
import { Command } from 'commander';
import { makeDataDir } from '../data-dir.ts';
import { configOf } from './settings.ts';
import type { Config } from '../config.ts';

/** Opens the pool for one command; one that a daemon has mounted stays mounted. */
async function withPool<T>(command: Command, work: (imagesDir: string, config: Config) => Promise<T>): Promise<T> {
  const config = configOf(command);
  const dataDir = config['data-dir'];
  await makeDataDir(dataDir);
  await fs.mkdir(path.join(dataDir, 'pool'), { recursive: true, mode: 0o711 });
  const mounted = await isMounted(path.join(dataDir, 'pool'));
  const pool = await openPool(dataDir);
  try {
    const { layout } = new PoolDirectory(pool.root);
    await fs.mkdir(layout.images, { recursive: true, mode: 0o711 });
    return await work(layout.images, config);
  } finally {
    if (!mounted) await closePool(pool);
  }
}

/** `sylphd image build|list|remove`. */
export function imageCommand(): Command {
  const image = new Command('image').description('manage images');
  image
    .command('build')
    .description('build an image from its specification, or import it when this machine has built it already')
    .argument('<name>', 'name of a specification, such as minimal or dev, or a path to one')
    .option('--fresh', 'build again even if it was built from the same specification')
    .action(async (name: string, options: { fresh?: true }, command: Command) => {
      const manifest = await withPool(command, async (imagesDir, config) => {
        const { spec } = await readImageSpec(
          name.endsWith('.toml') ? name : path.join(config['image-specs'], `${name}.toml`),
        );
        const cached = options.fresh
          ? undefined
          : ((await findImage(imagesDir, spec)) ?? (await findImage(config['image-cache'], spec)));
        if (cached) return (await importImage({ from: cached.dir, outDir: imagesDir })).manifest;
        const built = await buildImage({ spec, outDir: config['image-cache'], progress });
        return (await importImage({ from: path.join(config['image-cache'], built.digest), outDir: imagesDir }))
          .manifest;
      });
      console.log(`${manifest.name}  ${manifest.digest.slice(0, 12)}  ${Math.round(manifest.sizeBytes / 2 ** 20)} MiB`);
    });
  image
    .command('list')
    .description('list images, newest first')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }, command: Command) => {
      const images = await withPool(command, async (imagesDir) =>
        (await listImages(imagesDir)).map(({ manifest }) => manifest),
      );
      if (options.json)
        return console.log(
          JSON.stringify(
            images.map(({ packages: _p, spec: _s, ...rest }) => rest),
            null,
            2,
          ),
        );
      if (images.length === 0) return console.error('No images yet. Build one with: sylphd image build minimal');
      for (const manifest of images) {
        console.log(
          `${manifest.name.padEnd(12)}  ${manifest.digest.slice(0, 12)}  ${manifest.createdAt.slice(0, 16)}  ${String(Math.round(manifest.sizeBytes / 2 ** 20)).padStart(6)} MiB  ${manifest.description}`,
        );
      }
    });
  image
    .command('remove')
    .description('remove an image; sprites made from it keep working')
    .argument('<image>', 'name, or the beginning of a digest')
    .action(async (which: string, _options: unknown, command: Command) => {
      const removed = await withPool(command, async (imagesDir) => {
        const found = (await listImages(imagesDir)).filter(
          ({ manifest }) => manifest.name === which || (which.length >= 6 && manifest.digest.startsWith(which)),
        );
        for (const { dir } of found) {
          const doomed = path.join(imagesDir, `rm-${path.basename(dir)}`);
          await fs.rename(dir, doomed);
          await fs.rm(doomed, { recursive: true, force: true });
        }
        return found.length;
      });
      if (removed === 0)
        throw new SylphError('image_not_found', `there is no image ${which}`, {
          hint: 'sylphd image list shows them.',
        });
      console.error(`Removed ${removed} ${removed === 1 ? 'image' : 'images'}.`);
    });
  return image;
}

function progress(message: string): void {
  console.error(`  ${message}`);
}
