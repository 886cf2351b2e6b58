import fs from 'node:fs/promises';
import path from 'node:path';
import type { SweepReport } from '@sylph/engine';
import type { SpriteId } from '@sylph/model';
import { entries } from './files.ts';
import type { Layout } from './layout.ts';
import { isPassing } from './trash.ts';

/** Sprite directories looked through at once. */
const parallel = 16;

/** See `PoolStore.sweep`. */
export async function sweep(
  layout: Layout,
  known: { sprites: ReadonlySet<string>; checkpoints(id: SpriteId): Promise<ReadonlySet<string>> },
): Promise<SweepReport> {
  const notices: string[] = [];
  let unfinished = 0;
  const tidy = async (directory: string): Promise<string[]> => {
    const names = await entries(directory);
    const doomed = names.filter(isPassing);
    for (const name of doomed) await fs.rm(path.join(directory, name), { recursive: true, force: true });
    unfinished += doomed.length;
    return names.filter((name) => !doomed.includes(name));
  };
  for (const shelf of layout.shelves) await fs.mkdir(shelf, { recursive: true, mode: 0o711 });
  for (const shelf of [layout.images, layout.guests, layout.genesis, layout.transient]) await tidy(shelf);

  await inParallel(await tidy(layout.sprites), async (id) => {
    if (known.sprites.has(id)) await tidy(layout.sprite(id));
    else {
      await fs.rm(layout.sprite(id), { recursive: true, force: true });
      notices.push(`removed the files of ${id}: its creation was never acknowledged, or it was deleted`);
    }
  });
  await inParallel(await tidy(layout.checkpoints), async (id) => {
    if (!known.sprites.has(id)) {
      await fs.rm(layout.checkpointsOf(id), { recursive: true, force: true });
      return;
    }
    const present = await tidy(layout.checkpointsOf(id));
    const rows = await known.checkpoints(id);
    for (const name of present.filter((checkpoint) => !rows.has(checkpoint))) {
      await fs.rm(layout.checkpoint(id, name), { recursive: true, force: true });
      notices.push(`removed checkpoint ${name} of ${id}: it was never acknowledged, or it was deleted`);
    }
  });
  if (unfinished > 0)
    notices.push(
      `removed ${unfinished} unfinished or deleted ${unfinished === 1 ? 'directory' : 'directories'} of an earlier run`,
    );
  return { notices };
}

async function inParallel(names: string[], work: (name: string) => Promise<void>): Promise<void> {
  const queue = names.values();
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      for (const name of queue) await work(name);
    }),
  );
}
