import type { SshKeyList } from '@sylph/model';
import { command } from '../command.ts';
import type { Context } from '../context.ts';
import { CliError, usageError } from '../failure.ts';
import { hostBlocks, writeHostBlocks } from '../ssh/config-file.ts';
import { localKeys, ownKey } from '../ssh/local-keys.ts';
import { runSsh } from '../ssh/run-ssh.ts';
import { sshTarget } from '../ssh/ssh-target.ts';

const via = {
  kind: 'text',
  placeholder: 'HOST[:PORT]',
  description: 'where SSH is reached, if not where the API is',
} as const;

export const ssh = command({
  name: 'ssh',
  summary: "enter a sprite with this machine's ssh; wakes it",
  description:
    'Everything after the name is for ssh: its options, and a command. The host key is known from the server. A silent connection lets the sprite sleep and goes on when you type.',
  examples: [
    'sylph ssh my-sprite',
    'sylph ssh my-sprite -- -L 8080:localhost:80',
    'sylph ssh my-sprite uname -a',
    'sylph ssh --add-key my-sprite',
  ],
  arguments: [
    { name: '[name]', description: 'sprite; with -s all words are for ssh', completes: 'sprite' },
    { name: '[words…]', description: 'for ssh' },
  ],
  common: ['org', 'sprite'],
  passThrough: true,
  options: {
    addKey: { kind: 'flag', description: 'register your public key first, where none of yours is' },
    via,
  },
  async run(context, words, options) {
    const isNamed = context.target.sprite === undefined && words.length > 0;
    const sprite = await context.sprite(isNamed ? words[0] : undefined);
    const rest = isNamed ? words.slice(1) : words;
    const list = await withOwnKey(context, options.addKey);
    const target = await sshTarget(context, list, options.via);
    return runSsh(target, sprite, { words: rest[0] === '--' ? rest.slice(1) : rest, env: context.env });
  },
});

export const sshConfig = command({
  name: 'ssh-config',
  summary: 'let ssh, scp, rsync, git and editors know sprites as sylph-NAME',
  description:
    'Prints Host blocks for ssh: of one sprite, or of all. --write keeps them in a file of their own below ~/.ssh, which ~/.ssh/config includes from then on; run it again when there are new sprites.',
  examples: ['sylph ssh-config --write', 'sylph ssh-config my-sprite >> ~/.ssh/config', 'scp file sylph-my-sprite:'],
  arguments: [{ name: '[name]', description: 'sprite', completes: 'sprite' }],
  common: ['org'],
  options: { write: { kind: 'flag', description: 'put all sprites into a file that ssh reads' }, via },
  async run(context, [name], options) {
    if (options.write && name !== undefined) throw usageError('--write is about all sprites; leave the name out');
    const client = await context.client();
    const names = name === undefined ? await allSprites(client) : [(await client.sprites.get(name)).name];
    const target = await sshTarget(context, await client.sshKeys.list(), options.via);
    const blocks = hostBlocks(target, names);
    if (!options.write) return context.out.result({ config: blocks }, () => blocks);
    const { url } = await context.server();
    const written = await writeHostBlocks(blocks, { url, env: context.env });
    await context.out.result({ ...written, sprites: names }, () =>
      written.changed ? `wrote ${written.file}: ssh sylph-NAME\n` : `${written.file} is as it should be\n`,
    );
  },
});

/** Throws when none of this machine's keys lets in and none is to be added. */
async function withOwnKey(context: Context, mayAdd: boolean): Promise<SshKeyList> {
  const { sshKeys } = await context.client();
  const list = await sshKeys.list();
  const known = new Set(list.keys.map(({ fingerprint }) => fingerprint));
  if ((await localKeys(context.env)).some(({ fingerprint }) => known.has(fingerprint))) return list;
  if (mayAdd) {
    const { line, from } = await ownKey(context.env);
    const { fingerprint } = await sshKeys.add(line);
    context.out.note(`registered ${from}  ${fingerprint}`);
    return list;
  }
  // Its person may have keys elsewhere, which ssh knows of and we do not.
  if (list.keys.length > 0) {
    context.out.note('none of the keys in ~/.ssh or your key agent is registered: sylph ssh-key add');
    return list;
  }
  throw new CliError('the organization has no SSH key, so ssh would not be let in', {
    code: 'no_ssh_key',
    hint: 'register yours: sylph ssh-key add, or sylph ssh --add-key',
  });
}

async function allSprites(client: Awaited<ReturnType<Context['client']>>): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of client.sprites.list()) names.push(name);
  return names;
}
