import { SylphError } from '@sylph/model';
import type { SpriteActor } from './actor/actor.ts';
import type { ActorRegistry } from './actor/registry.ts';
import type { EngineDeps } from './deps.ts';
import type { SpriteRow } from './interfaces/repository.ts';
import { suspendSprite } from './operations/suspend.ts';
import { inParallel } from './parallel.ts';
import { recoverSprite } from './recovery.ts';

/** Takes over from the last daemon: sweeps the pool and finds out what became of sprites it left awake. Returns notices for the log and the person. */
export async function takeOver(deps: EngineDeps, actors: ActorRegistry): Promise<string[]> {
  const { store, repository, driver, options } = deps;
  const sprites = new Set<string>();
  for await (const id of repository.spriteIds()) sprites.add(id);
  for (const dir of await store.genesisVmDirs()) await (await driver.adopt(dir.path))?.end();
  const { notices } = await store.sweep({
    sprites,
    checkpoints: async (id) => new Set((await repository.checkpoints(id)).map((row) => row.id)),
  });
  await inParallel(options.parallelism, await repository.awakeSprites(), async (row) => {
    notices.push(...(await recoverOne(deps, actors, row)));
  });
  await deps.network.sweep();
  return notices;
}

/** Hands over to the next daemon: awake sprites are put to sleep, or left running for it to adopt. */
export async function letGo(deps: EngineDeps, actors: ActorRegistry, how: 'suspend' | 'leave'): Promise<void> {
  await inParallel(deps.options.parallelism, actors.all(), (actor) =>
    letGoOfOne(actor, how).catch((error: unknown) =>
      actor.log.error({ err: error }, 'sprite could not be let go of in order'),
    ),
  );
  actors.clear();
}

async function recoverOne({ repository }: EngineDeps, actors: ActorRegistry, row: SpriteRow): Promise<string[]> {
  const org = await repository.org(row.orgId);
  if (!org) return [`${row.name}: its organization is missing`];
  return actors.with(row, org, async (actor) => {
    try {
      const notice = await actor.enqueue(undefined, () => recoverSprite(actor));
      return notice === undefined ? [] : [notice];
    } catch (error) {
      actor.log.error({ err: error }, 'sprite could not be recovered');
      return [`${row.name}: could not be recovered: ${SylphError.from(error).message}; its next use tries again`];
    }
  });
}

async function letGoOfOne(actor: SpriteActor, how: 'suspend' | 'leave'): Promise<void> {
  await actor.enqueue(undefined, async () => {
    if (actor.awake && how === 'suspend')
      await suspendSprite(actor, { then: 'asleep' }).catch((error: unknown) =>
        actor.log.error({ err: error }, 'sprite could not be put to sleep; it is left running'),
      );
    const { awake } = actor;
    if (awake) {
      awake.watch.abort();
      await (await actor.sessions()).disconnect();
      await awake.channel.close();
      awake.vm.release();
    }
    await actor.closeSessions();
  });
}
