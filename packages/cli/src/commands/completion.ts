import { command } from '../command.ts';
import { candidates } from '../completion/candidates.ts';
import { scripts, type Shell } from '../completion/scripts.ts';
import { usageError } from '../failure.ts';

export const completion = command({
  name: 'completion',
  summary: 'print the completion script of a shell',
  examples: [
    'source <(sylph completion bash)',
    'sylph completion zsh > "${fpath[1]}/_sylph"',
    'sylph completion fish > ~/.config/fish/completions/sylph.fish',
  ],
  arguments: [{ name: '<shell>', description: Object.keys(scripts).join(', '), completes: 'shell' }],
  async run(context, [shell = '']) {
    const script = Object.hasOwn(scripts, shell) ? scripts[shell as Shell] : undefined;
    if (script === undefined)
      throw usageError(`there is no completion for ${shell}`, `known: ${Object.keys(scripts).join(', ')}`);
    await context.out.result({ shell, script }, () => script);
  },
});

/** What the scripts call: the words of the line so far, the last one unfinished; prints a candidate a line, with a description after a tab. */
export const complete = command({
  name: '__complete',
  summary: 'candidates for the completion scripts',
  hidden: true,
  passThrough: true,
  arguments: [{ name: '[words…]', description: "words after the program's name" }],
  async run(context, words) {
    const found = await candidates(context, words);
    await context.out.result(found, () => found.map(({ value, description }) => `${value}\t${description}\n`).join(''));
  },
});
