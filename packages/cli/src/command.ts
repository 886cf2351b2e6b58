import type { Context } from './context.ts';

/** How an option is written and read. `flag`: present or not; `list`: may be repeated; `time`: ms, see `time.ts`; `off`: `--no-NAME`, true unless given. */
export interface OptionSpec {
  kind: 'flag' | 'text' | 'list' | 'integer' | 'time' | 'off';
  description: string;
  /** One letter. */
  short?: string;
  /** What stands for the value in the help. */
  placeholder?: string;
  /** Offered by completion. */
  choices?: readonly string[];
}

/** What a command sees of its options. */
export type OptionValues<O extends Record<string, OptionSpec>> = {
  [K in keyof O]: O[K]['kind'] extends 'flag' | 'off'
    ? boolean
    : O[K]['kind'] extends 'list'
      ? string[]
      : O[K]['kind'] extends 'integer' | 'time'
        ? number | undefined
        : string | undefined;
};

/** A positional argument; `[name]` optional, `<name>` required, `…` after it: all the rest. */
export interface ArgumentSpec {
  name: string;
  description: string;
  /** What completion offers. */
  completes?: 'sprite' | 'checkpoint' | 'session' | 'job' | 'service' | 'shell';
}

/** Common options a command takes. */
export type CommonOption = 'org' | 'sprite';

/** A command: how it is written, and what it does. Resolves to the exit code, 0 when it says none. */
export interface CommandSpec<O extends Record<string, OptionSpec> = Record<string, OptionSpec>> {
  name: string;
  aliases?: readonly string[];
  summary: string;
  /** More for its help. */
  description?: string;
  examples?: readonly string[];
  arguments?: readonly ArgumentSpec[];
  options?: O;
  common?: readonly CommonOption[];
  /** Everything after the first positional argument belongs to the command that is run in the sprite. */
  passThrough?: boolean;
  hidden?: boolean;
  subcommands?: readonly AnyCommand[];
  run?: (context: Context, args: readonly string[], options: OptionValues<O>) => Promise<number | void>;
}

/** A command whose options are known only to itself. */
export type AnyCommand = CommandSpec;

/** Declares a command; its options are typed by their declaration. */
export function command<const O extends Record<string, OptionSpec>>(spec: CommandSpec<O>): AnyCommand {
  return spec as unknown as AnyCommand;
}

/** `idleTimeout` → `--idle-timeout`. */
export function flagName(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Whether something follows it. */
export function takesValue({ kind }: OptionSpec): boolean {
  return kind !== 'flag' && kind !== 'off';
}

/** Options of every command. */
export const commonOptions = {
  json: { kind: 'flag', description: 'print JSON on stdout and nothing else' },
  url: { kind: 'text', placeholder: 'URL', description: 'address of the server' },
  org: { kind: 'text', short: 'o', placeholder: 'ORG', description: 'organization' },
  sprite: { kind: 'text', short: 's', placeholder: 'NAME', description: 'sprite' },
} as const satisfies Record<string, OptionSpec>;
