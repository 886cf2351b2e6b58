import { command } from '../command.ts';
import type { Context } from '../context.ts';
import { usageError } from '../failure.ts';
import { edit as editFile } from '../files/edit.ts';
import type { Copied } from '../files/copying.ts';
import { parseEndpoint } from '../files/endpoint.ts';
import { pull as pullFiles } from '../files/pull.ts';
import { push as pushFiles } from '../files/push.ts';
import { bytes } from '../output/human.ts';
import { printable } from '../output/style.ts';

const options = {
  recursive: { kind: 'flag', short: 'r', description: 'directories with everything in them' },
  root: { kind: 'flag', description: 'touch files in the sprite as root' },
} as const;

interface CopyFlags {
  recursive: boolean;
  root: boolean;
}

const semantics =
  'Into a directory that exists, else to exactly that name; SOURCE/. copies what is in a directory. Relative paths in the sprite begin at /home/sprite. A file whose copying broke off goes on where it was.';

export const cp = command({
  name: 'cp',
  summary: 'copy files into and out of a sprite',
  description: `One side is SPRITE:PATH, or :PATH for the sprite that is chosen. ${semantics}`,
  examples: ['sylph cp notes.txt box:', 'sylph cp -r box:/var/log ./logs', 'sylph cp -r site/. :/srv/www'],
  arguments: [
    { name: '<source>', description: 'what to copy' },
    { name: '<dest>', description: 'where to' },
  ],
  common: ['org', 'sprite'],
  options,
  async run(context, [source = '', dest = ''], flags) {
    const [from, to] = [parseEndpoint(source), parseEndpoint(dest)];
    if ((from.sprite === undefined) === (to.sprite === undefined))
      throw usageError(
        'one side has to be in a sprite and the other here',
        'write SPRITE:PATH for the one in the sprite',
      );
    const sprite = await context.sprite((from.sprite ?? to.sprite) || undefined);
    await copy(context, sprite, from.sprite === undefined ? 'push' : 'pull', from.path, to.path, flags);
  },
});

const push = command({
  name: 'push',
  summary: 'copy into the sprite',
  description: semantics,
  arguments: [
    { name: '<local>', description: 'file or directory here' },
    { name: '<remote>', description: 'path in the sprite' },
  ],
  common: ['org', 'sprite'],
  options,
  async run(context, [local = '', remote = ''], flags) {
    await copy(context, await context.sprite(), 'push', local, remote, flags);
  },
});

const pull = command({
  name: 'pull',
  summary: 'copy out of the sprite',
  description: semantics,
  arguments: [
    { name: '<remote>', description: 'path in the sprite' },
    { name: '[local]', description: 'file or directory here; default: this directory' },
  ],
  common: ['org', 'sprite'],
  options,
  async run(context, [remote = '', local = '.'], flags) {
    await copy(context, await context.sprite(), 'pull', remote, local, flags);
  },
});

export const file = command({
  name: 'file',
  summary: 'push files into a sprite and pull them out',
  subcommands: [push, pull],
});

export const edit = command({
  name: 'edit',
  summary: 'edit a file of a sprite with your editor',
  description:
    'With $VISUAL or $EDITOR. Written back only when you changed it, and not when it changed in the sprite meanwhile; then, as after any failure, your text is kept and you are told where.',
  examples: ['sylph edit box:.bashrc', 'EDITOR=nano sylph edit --root :/etc/hosts'],
  arguments: [{ name: '<file>', description: 'SPRITE:PATH, or :PATH' }],
  common: ['org', 'sprite'],
  options: { root: options.root },
  async run(context, [text = ''], { root }) {
    const { sprite: named, path } = parseEndpoint(text);
    if (named === undefined) throw usageError(`${text} is not in a sprite`, 'write SPRITE:PATH, or :PATH');
    const sprite = await context.sprite(named || undefined);
    const client = await context.client();
    const changed = await editFile(client.files(sprite), path, { asRoot: root, env: context.env });
    await context.out.result({ sprite, path, changed }, () =>
      changed ? `${path} is written\n` : `${path} is unchanged\n`,
    );
  },
});

async function copy(
  context: Context,
  sprite: string,
  direction: 'push' | 'pull',
  source: string,
  dest: string,
  { recursive, root }: CopyFlags,
): Promise<void> {
  const files = (await context.client()).files(sprite);
  const work = direction === 'push' ? pushFiles : pullFiles;
  const copied: Copied = await context.out.waiting(`copying ${source}`, (say) =>
    work(files, source, dest, { recursive, asRoot: root, say }),
  );
  for (const name of copied.skipped ?? [])
    context.out.note(`left out: ${printable(name)} links to something outside of ${source}`);
  await context.out.result({ sprite, direction, ...copied }, () => {
    const count = copied.entries === undefined ? '' : `, ${copied.entries} entries`;
    return `${printable(copied.from)} → ${printable(copied.to)}  (${bytes(copied.bytes)}${count})\n`;
  });
}
