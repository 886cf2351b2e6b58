// Builds an image into .cache/images, where tests and daemons on this machine import it from, and prints its directory.
// One already built from the same spec is used again, unless --fresh.
// Usage: image.ts NAME [--fresh]
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildImage, findImage, readImageSpec } from '../packages/images/src/index.ts';
import { runStep } from './step.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { fresh: { type: 'boolean', default: false } },
});
const root = join(import.meta.dirname, '..');
const outDir = join(root, '.cache/images');
await runStep(async ({ progress, signal }) => {
  const { spec } = await readImageSpec(join(root, 'images', `${positionals[0] ?? 'minimal'}.toml`));
  const found = values.fresh ? undefined : await findImage(outDir, spec);
  const digest = (found?.manifest ?? (await buildImage({ spec, outDir, progress, signal }))).digest;
  console.log(join(outDir, digest));
});
