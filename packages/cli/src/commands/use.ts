import { command } from '../command.ts';
import { removeSpriteFile, writeSpriteFile } from '../config/sprite-file.ts';
import { resolveSprite } from '../config/target.ts';
import { CliError } from '../failure.ts';

export const use = command({
  name: 'use',
  summary: 'choose the sprite of this directory',
  description:
    'Writes a `.sprite` file, which counts for this directory and those below. Without a name: tells which sprite counts here.',
  arguments: [{ name: '[name]', description: 'sprite', completes: 'sprite' }],
  common: ['org'],
  options: { unset: { kind: 'flag', description: 'remove the `.sprite` file' } },
  async run(context, [name], { unset }) {
    const file = await context.spriteFile();
    if (unset) {
      if (file === undefined) throw new CliError('no sprite is chosen here', { code: 'not_found' });
      await removeSpriteFile(file.path);
      return context.out.result({ sprite: null, removed: file.path }, () => `removed ${file.path}\n`);
    }
    if (name === undefined) {
      const { sprite, from } = resolveSprite(context.target, undefined, context.env, file);
      return context.out.result(
        { sprite, organization: file?.organization ?? null, from },
        () => `${sprite}  (${from})\n`,
      );
    }
    const { org } = await context.server();
    const sprite = await (await context.client()).sprites.get(name);
    const organization = org ?? sprite.organization ?? sprite.org_slug;
    const path = await writeSpriteFile(context.cwd, { sprite: name, organization });
    await context.out.result(
      { sprite: name, organization, from: path },
      () => `${name}  is the sprite of ${context.cwd}\n`,
    );
  },
});
