import type { SpriteActor } from '../actor/actor.ts';
import { endVms } from './settle.ts';

/**
 * Removes a sprite: VM, row, files, in this order. Once the row is gone it no longer exists; a daemon that dies then leaves files the sweep removes. May be called again when it failed.
 */
export async function deleteSprite(actor: SpriteActor): Promise<void> {
  const { repository, store, network, failpoints } = actor.deps;
  if (actor.state === 'deleting' && (await repository.sprite(actor.id)) === undefined) return;
  actor.transition('deleting');
  const { awake } = actor;
  actor.awake = undefined;
  awake?.watch.abort();
  const sessions = await actor.sessions();
  await sessions.disconnect();
  await sessions.lose('the sprite was deleted');
  await awake?.channel.close();
  await awake?.vm.end();
  await endVms(actor, await store.vmDirs(actor.id));
  await network.detach(actor.id);
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
