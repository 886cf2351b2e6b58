import { posix } from 'node:path';
import type { SessionRequest, SpriteView } from '@sylph/engine';
import type { SshDeps } from './deps.ts';

/** How long what a client started lives on without it: as long as commands of the API do. A shell is hung up then, another command gets TERM. */
const maxRunAfterDisconnectMs = 10_000;
/** Variables a client may set: how things look, and what git says about its protocol. Others are left out as sshd does, for a client sends what its person did not mean for here. */
const taken =
  /^(LANG|LANGUAGE|LC_[A-Z]+|TZ|TERM_PROGRAM|TERM_PROGRAM_VERSION|COLORTERM|NO_COLOR|FORCE_COLOR|GIT_PROTOCOL)$/;
const maxVariables = 32;
const maxValueLength = 1_024;

/** What a client has asked for before it starts something. */
export interface Wishes {
  env: Record<string, string>;
  tty: { cols: number; rows: number; term: string } | null;
}

/** What is to run: the login shell, a line for it, or the file server. */
export type Wanted = { kind: 'shell' } | { kind: 'exec'; line: string } | { kind: 'sftp' };

/** Notes a variable a client sets; false when it is left out. */
export function takeVariable(wishes: Wishes, name: string, value: string): boolean {
  const fits = taken.test(name) && value.length <= maxValueLength && !value.includes('\0');
  if (!fits || Object.keys(wishes.env).length >= maxVariables) return false;
  wishes.env[name] = value;
  return true;
}

/** The session for it, as sshd would start it. `more`: variables about the connection itself. Output without a terminal is for its client alone and is not journalled: it may be a whole disk. */
export function sessionRequest(
  wanted: Wanted,
  wishes: Wishes,
  { view, more, deps }: { view: SpriteView; more: Record<string, string>; deps: SshDeps },
): SessionRequest {
  const base = deps.commandBase(view);
  const { tty } = wishes;
  const terminal: Record<string, string> = tty === null ? {} : { TERM: tty.term };
  const env = { ...base.env, ...terminal, ...wishes.env, ...more };
  const shell = env['SHELL'] ?? '/bin/sh';
  return {
    ...programOf(wanted, shell, deps.sftpServer),
    env,
    dir: base.dir,
    user: base.user,
    tty: tty === null ? null : { cols: tty.cols, rows: tty.rows },
    stdin: true,
    maxRunAfterDisconnectMs,
    transient: tty === null,
  };
}

function programOf(wanted: Wanted, shell: string, sftpServer: string): { argv: string[]; path: string } {
  switch (wanted.kind) {
    case 'shell':
      // The dash is what makes it a login shell.
      return { argv: [`-${posix.basename(shell)}`], path: shell };
    case 'exec':
      return { argv: [shell, '-c', wanted.line], path: shell };
    case 'sftp':
      return { argv: [posix.basename(sftpServer)], path: sftpServer };
    default:
      return wanted satisfies never;
  }
}
