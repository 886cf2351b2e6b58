import type { SpriteActor } from '../actor/actor.ts';

/** Removes a sprite: VM, row, files, in this order. Once the row is gone it no longer exists; a daemon that dies then leaves files the sweep removes. */
export async function deleteSprite(actor: SpriteActor): Promise<void> {
  const { repository, store, network, failpoints } = actor.deps;
  actor.transition('deleting');
  const { awake } = actor;
  actor.awake = undefined;
  awake?.watch.abort();
  const sessions = await actor.sessions();
  await sessions.disconnect();
  await sessions.lose('the sprite was deleted');
  await awake?.channel.close();
  await awake?.vm.end();
  await network.detach(actor.id);
  await actor.closeSessions();
  await repository.removeSprite(actor.id);
  await failpoints.hit('delete.row-removed');
  await store.removeSprite(actor.id);
}
