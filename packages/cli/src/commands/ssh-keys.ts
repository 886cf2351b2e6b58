import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { command } from '../command.ts';
import { CliError } from '../failure.ts';
import { ago } from '../output/human.ts';
import { table } from '../output/table.ts';
import { ownKey } from '../ssh/local-keys.ts';

const add = command({
  name: 'add',
  summary: 'let the owner of a key into all sprites of the organization by SSH',
  description: 'Without a file: the public key in ~/.ssh. `-` reads it from stdin.',
  examples: [
    'sylph ssh-key add',
    'sylph ssh-key add ~/.ssh/id_work.pub --name work',
    'ssh-add -L | head -n 1 | sylph ssh-key add -',
  ],
  arguments: [{ name: '[file]', description: 'public key: ends in .pub' }],
  common: ['org'],
  options: { name: { kind: 'text', placeholder: 'NAME', description: "default: the key's comment" } },
  async run(context, [file], { name }) {
    const { line, from } =
      file === undefined
        ? await ownKey(context.env)
        : { line: file === '-' ? await text(process.stdin) : await read(file), from: file };
    const { sshKeys } = await context.client();
    const key = await sshKeys.add(line, { name });
    await context.out.result(key, () => `added ${key.name}  ${key.fingerprint}  (${from})\n`);
  },
});

const list = command({
  name: 'list',
  aliases: ['ls'],
  summary: 'list SSH keys',
  common: ['org'],
  async run(context) {
    const { sshKeys } = await context.client();
    const { keys, server } = await sshKeys.list();
    await context.out.result({ keys, server }, () =>
      keys.length === 0
        ? 'The organization has no SSH keys. Add yours: sylph ssh-key add\n'
        : table(
            [{ title: 'NAME' }, { title: 'TYPE' }, { title: 'FINGERPRINT' }, { title: 'ADDED' }, { title: 'USED' }],
            keys.map((key) => [
              { text: key.name, style: 'strong' },
              key.type,
              key.fingerprint,
              ago(key.created_at),
              key.last_used_at === null ? 'never' : ago(key.last_used_at),
            ]),
          ),
    );
  },
});

const remove = command({
  name: 'remove',
  aliases: ['rm', 'delete'],
  summary: 'let the owner of a key in no more; what is open with it ends within 10 s',
  arguments: [{ name: '<key>', description: 'name, fingerprint or id' }],
  common: ['org'],
  async run(context, [wanted = '']) {
    const { sshKeys } = await context.client();
    const { keys } = await sshKeys.list();
    const found = keys.filter((key) => [key.id, key.fingerprint, key.name].includes(wanted));
    const [key] = found;
    if (key === undefined)
      throw new CliError(`the organization has no SSH key ${wanted}`, {
        code: 'ssh_key_not_found',
        hint: 'sylph ssh-key list',
      });
    if (found.length > 1)
      throw new CliError(`${found.length} keys are called ${wanted}`, {
        code: 'ambiguous',
        hint: 'name it by its fingerprint: sylph ssh-key list',
      });
    await sshKeys.remove(key.id);
    await context.out.result(key, () => `removed ${key.name}  ${key.fingerprint}\n`);
  },
});

export const sshKey = command({
  name: 'ssh-key',
  aliases: ['ssh-keys'],
  summary: 'say who may enter by SSH',
  subcommands: [add, list, remove],
});

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new CliError(`${file} cannot be read: ${(cause as Error).message}`, { code: 'not_found', cause });
  }
}
