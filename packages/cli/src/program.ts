import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { commonOptions, flagName, takesValue, type AnyCommand, type OptionSpec } from './command.ts';
import { groups } from './commands/index.ts';
import { Context } from './context.ts';
import { usageError } from './failure.ts';
import { parseTime, timeHelp } from './time.ts';
import { version } from './version.ts';

/** Where and how the program runs. */
export interface Surroundings {
  env: NodeJS.ProcessEnv;
  cwd: string;
}

/** Runs a command line (without the program's name). Resolves to its exit code; throws what failed. */
export async function runProgram(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  let exitCode = 0;
  const program = newCommand(
    'sylph',
    'sprites: Linux machines that sleep, wake, checkpoint, restore and fork with their memory',
  )
    .version(`sylph ${version}`, '-V, --version', 'show the version')
    .enablePositionalOptions()
    .addHelpText(
      'after',
      '\nEnvironment: SYLPH_URL, SYLPH_TOKEN, SYLPH_ORG, SYLPH_SPRITE, SYLPH_OPEN_BROWSER, NO_COLOR. Configuration: ~/.config/sylph/config.json.',
    );
  for (const [key, spec] of Object.entries(commonOptions)) program.addOption(optionOf(key, spec));
  const finish = (code: number): void => void (exitCode = code);
  for (const { title, commands } of groups) {
    for (const spec of commands)
      program.addCommand(build(spec, program, surroundings, finish).helpGroup(title), { hidden: spec.hidden === true });
  }
  try {
    await program.parseAsync(argv, { from: 'user' });
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown;
    if (thrown.exitCode === 0) return 0;
    // Help that was not asked for has been printed already and is all there is to say.
    if (thrown.code === 'commander.help') return 2;
    const [message = '', ...more] = thrown.message.replace(/^error: /, '').split('\n');
    throw usageError(message, more.join(' ').replace(/^\((.*)\)$/, '$1') || 'see: sylph --help');
  }
  return exitCode;
}

function newCommand(name: string, summary: string): Command {
  return new Command(name)
    .description(summary)
    .exitOverride()
    .configureOutput({ writeErr: (text) => process.stderr.write(text), outputError: () => undefined })
    .helpOption('-h, --help', 'show help')
    .helpCommand(false)
    .showSuggestionAfterError(true);
}

function build(
  spec: AnyCommand,
  program: Command,
  surroundings: Surroundings,
  finish: (code: number) => void,
): Command {
  const built = newCommand(
    spec.name,
    spec.description === undefined ? spec.summary : `${spec.summary}\n\n${spec.description}`,
  )
    .summary(spec.summary)
    .aliases([...(spec.aliases ?? [])]);
  if (spec.examples !== undefined)
    built.addHelpText('after', `\nExamples:\n${spec.examples.map((example) => `  ${example}\n`).join('')}`);
  if (spec.subcommands !== undefined) {
    built.enablePositionalOptions();
    for (const child of spec.subcommands) built.addCommand(build(child, program, surroundings, finish));
    return built;
  }
  for (const { name, description } of spec.arguments ?? [])
    built.addArgument(new Argument(name.replace('…', '...'), description));
  for (const [key, option] of Object.entries(optionsOf(spec))) built.addOption(optionOf(key, option));
  if (spec.passThrough === true) built.passThroughOptions();
  built.action(async () => {
    const options: Record<string, unknown> = { ...withoutUndefined(program.opts()), ...withoutUndefined(built.opts()) };
    const context = new Context({
      ...surroundings,
      json: options['json'] === true,
      target: {
        url: textOption(options, 'url'),
        org: textOption(options, 'org'),
        sprite: textOption(options, 'sprite'),
      },
    });
    const code = await spec.run?.(context, built.args, (await filled(spec, options)) as never);
    finish(code ?? 0);
  });
  return built;
}

function optionsOf(spec: AnyCommand): Record<string, OptionSpec> {
  const { json, url, org, sprite } = commonOptions;
  return {
    ...spec.options,
    ...(spec.common?.includes('sprite') === true ? { sprite } : {}),
    ...(spec.common?.includes('org') === true ? { org } : {}),
    url,
    json,
  };
}

function optionOf(key: string, spec: OptionSpec): Option {
  const name = flagName(spec.kind === 'off' ? `no-${key}` : key);
  const placeholder = spec.kind === 'time' ? 'TIME' : (spec.placeholder ?? 'value');
  const flags = `${spec.short === undefined ? '' : `-${spec.short}, `}${name}${takesValue(spec) ? ` <${placeholder}>` : ''}`;
  const option = new Option(flags, spec.kind === 'time' ? `${spec.description} (${timeHelp})` : spec.description);
  if (spec.kind === 'list')
    option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]);
  if (spec.kind === 'integer') option.argParser(parseInteger);
  return option;
}

function parseInteger(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('Not a whole number.');
  return Number(text);
}

/** Options as the command's type promises them. */
async function filled(spec: AnyCommand, options: Record<string, unknown>): Promise<Record<string, unknown>> {
  const empty = { flag: false, off: true, list: [], text: undefined, integer: undefined, time: undefined };
  const values: Record<string, unknown> = {};
  for (const [key, { kind }] of Object.entries(spec.options ?? {})) {
    const given = options[key];
    values[key] =
      kind === 'time' && typeof given === 'string' ? await parseTime(flagName(key), given) : (given ?? empty[kind]);
  }
  return values;
}

function withoutUndefined(options: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function textOption(options: Record<string, unknown>, key: string): string | undefined {
  const value = options[key];
  return typeof value === 'string' ? value : undefined;
}
