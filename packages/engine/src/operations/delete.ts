import type { SpriteActor } from '../actor/actor.ts';
import { endAwake } from './launch.ts';
import { endVms } from './settle.ts';

/** Removes a sprite: VM, row, files, in this order. Once the row is gone it no longer exists; a daemon that dies then leaves files the sweep removes. When it fails before that the sprite is at rest. */
export async function deleteSprite(actor: SpriteActor): Promise<void> {
  const { repository, store, failpoints } = actor.deps;
  actor.transition('deleting');
  if (actor.awake) await endAwake(actor, actor.awake);
  // What an earlier command may have left.
  await endVms(actor, await store.vmDirs(actor.id));
  await (await actor.sessions()).lose('the sprite was deleted');
  await actor.closeSessions();
  await repository.removeSprite(actor.id);
  try {
    await failpoints.hit('delete.row-removed');
    await store.removeSprite(actor.id);
  } catch (error) {
    // The sprite is gone for everybody; the sweep at the next start removes the files.
    actor.log.error({ err: error }, 'files of a deleted sprite could not be removed');
  }
}
