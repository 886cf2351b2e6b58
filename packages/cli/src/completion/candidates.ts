import { commonOptions, flagName, takesValue, type AnyCommand, type OptionSpec } from '../command.ts';
import type { Context } from '../context.ts';

/** Something the word could become. */
export interface Candidate {
  value: string;
  description: string;
}

/** A person waits for names no longer than this. */
const lookUpMs = 1000;

/** What the last of the words could become. Unknown words and unreachable servers give no candidates, never an error. */
export async function candidates(context: Context, words: readonly string[]): Promise<Candidate[]> {
  const word = words.at(-1) ?? '';
  // Imported here: the list of commands holds the one that calls this.
  const { commands } = await import('../commands/index.ts');
  const place = locate(commands, words.slice(0, -1));
  const offered = await offer(context, place, word);
  return offered.filter(({ value }) => value.startsWith(word));
}

/** Where the word stands. */
interface Place {
  commands: readonly AnyCommand[];
  command: AnyCommand | undefined;
  /** Positional words of the command so far. */
  positional: number;
  /** The option whose value the word is. */
  valueOf: { key: string; spec: OptionSpec } | undefined;
  /** Options said before it, for looking names up. */
  said: Map<string, string>;
  /** The rest of the line belongs to another program. */
  foreign: boolean;
}

function locate(commands: readonly AnyCommand[], words: readonly string[]): Place {
  const place: Place = {
    commands,
    command: undefined,
    positional: 0,
    valueOf: undefined,
    said: new Map(),
    foreign: false,
  };
  for (const word of words) {
    if (place.valueOf !== undefined) {
      place.said.set(place.valueOf.key, word);
      place.valueOf = undefined;
    } else if (word === '--') place.foreign = place.command?.passThrough === true;
    else if (word.startsWith('-') && !place.foreign) {
      const option = optionsOf(place.command).find(
        ({ key, spec }) => word === flagName(key) || word === `-${spec.short ?? ''}`,
      );
      if (option !== undefined && takesValue(option.spec)) place.valueOf = option;
    } else {
      const next =
        place.positional === 0
          ? place.commands.find(({ name, aliases = [] }) => name === word || aliases.includes(word))
          : undefined;
      if (next !== undefined) {
        place.command = next;
        place.commands = next.subcommands ?? [];
      } else {
        place.positional++;
        if (place.command?.passThrough === true) place.foreign = true;
      }
    }
  }
  return place;
}

async function offer(context: Context, place: Place, word: string): Promise<Candidate[]> {
  if (place.foreign) return [];
  if (place.valueOf !== undefined) {
    const { key, spec } = place.valueOf;
    if (key === 'sprite' || key === 'from') return lookUp(context, place, 'sprite');
    if (key === 'checkpoint' || key === 'history') return lookUp(context, place, 'checkpoint');
    return (spec.choices ?? []).map((value) => ({ value, description: '' }));
  }
  if (word.startsWith('-')) {
    return optionsOf(place.command).map(({ key, spec }) => ({
      value: flagName(spec.kind === 'off' ? `no-${key}` : key),
      description: spec.description,
    }));
  }
  const subcommands =
    place.positional > 0
      ? []
      : place.commands
          .filter(({ hidden }) => hidden !== true)
          .map(({ name, summary }) => ({ value: name, description: summary }));
  const kind = place.command?.arguments?.[place.positional]?.completes;
  return [...subcommands, ...(kind === undefined ? [] : await lookUp(context, place, kind))];
}

function optionsOf(command: AnyCommand | undefined): { key: string; spec: OptionSpec }[] {
  const { json, url, org, sprite } = commonOptions;
  const common = {
    json,
    url,
    ...(command?.common?.includes('org') === true ? { org } : {}),
    ...(command?.common?.includes('sprite') === true ? { sprite } : {}),
  };
  const all: Record<string, OptionSpec> = command === undefined ? commonOptions : { ...command.options, ...common };
  return Object.entries(all).map(([key, spec]) => ({ key, spec }));
}

async function lookUp(
  context: Context,
  place: Place,
  kind: 'sprite' | 'checkpoint' | 'session' | 'job' | 'service' | 'shell',
): Promise<Candidate[]> {
  if (kind === 'shell') return ['bash', 'zsh', 'fish'].map((value) => ({ value, description: '' }));
  for (const key of ['url', 'org', 'sprite'] as const) context.target[key] = place.said.get(key) ?? context.target[key];
  const signal = AbortSignal.timeout(lookUpMs);
  try {
    const client = await context.client();
    switch (kind) {
      case 'sprite':
        return (await Array.fromAsync(client.sprites.list({ signal }))).map(({ name, status }) => ({
          value: name,
          description: status,
        }));
      case 'checkpoint':
        return (await client.checkpoints.list(await context.sprite(), { signal }))
          .filter(({ id }) => id !== 'Current')
          .map(({ id, comment }) => ({ value: id, description: comment.replace(/\s+/g, ' ') }));
      case 'job':
        return (await client.jobs.list(await context.sprite(), { signal })).map(({ id, cmd }) => ({
          value: id,
          description: cmd.join(' '),
        }));
      case 'service':
        return (await client.services.list(await context.sprite(), { signal })).map(({ name, cmd, args }) => ({
          value: name,
          description: [cmd, ...args].join(' ').replace(/\s+/g, ' '),
        }));
      case 'session':
        return (await client.sessions.list(await context.sprite(), { signal })).map(({ id, command }) => ({
          value: id,
          description: command.replace(/\s+/g, ' '),
        }));
      default:
        return kind satisfies never;
    }
  } catch {
    // Somebody is typing: without a server there is nothing to offer, and nothing to say.
    return [];
  }
}
