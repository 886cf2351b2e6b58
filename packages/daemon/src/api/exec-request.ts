import { posix } from 'node:path';
import type { SessionRequest, SpriteView } from '@sylph/engine';
import { maxCommandBytes, SylphError, type SocketExecQuery } from '@sylph/model';

/** User of the image that commands run as, and where they start. */
const user = 'sprite';
const home = '/home/sprite';
const searchPath = '/home/sprite/.local/bin:/.sprite/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** What programs start to show a page: it asks the command line a person sits at. */
const browser = '/.sprite/bin/sprite-browser';

/** Life after the last client left, without a terminal. */
const defaultMaxRunAfterDisconnectMs = 10_000;
const defaultSize = { cols: 80, rows: 24 };

type ExecQuery = Pick<SocketExecQuery, 'cmd' | 'path' | 'env' | 'dir' | 'stdin' | 'max_run_after_disconnect'> &
  Partial<Pick<SocketExecQuery, 'tty' | 'cols' | 'rows'>>;

/** What to run for a query of the exec routes. Throws `invalid_request` for a command that cannot be passed on. */
export function sessionRequest(query: ExecQuery, sprite: SpriteView): SessionRequest {
  const tty =
    query.tty === true ? { cols: query.cols ?? defaultSize.cols, rows: query.rows ?? defaultSize.rows } : null;
  const argv = query.cmd?.length ? query.cmd : [query.path ?? 'bash'];
  const path = query.path ?? argv[0] ?? '';
  if (path === '')
    throw new SylphError('invalid_request', 'the name of the program is empty', {
      hint: 'Give the program as the first cmd parameter.',
    });
  const request: SessionRequest = {
    argv,
    path,
    env: composeEnvironment(tty !== null, sprite.row.environment, query.env ?? []),
    dir: posix.resolve(home, query.dir ?? home),
    user,
    tty,
    stdin: query.stdin ?? tty !== null,
    maxRunAfterDisconnectMs: lifeAfterDisconnect(query.max_run_after_disconnect, tty !== null),
  };
  assertFits(request);
  return request;
}

/** What a command of a sprite begins with when nobody says otherwise. */
export function commandBase(sprite: SpriteView): { env: Record<string, string>; dir: string; user: string } {
  return { env: composeEnvironment(false, sprite.row.environment, []), dir: home, user };
}

/** Defaults, over them the sprite's environment, over that the caller's. Nothing of the daemon's own. */
function composeEnvironment(
  tty: boolean,
  sprite: Record<string, string>,
  caller: readonly string[],
): Record<string, string> {
  const given = caller.map((assignment): [string, string] => {
    const at = assignment.indexOf('=');
    return [assignment.slice(0, at), assignment.slice(at + 1)];
  });
  return {
    HOME: home,
    USER: user,
    LOGNAME: user,
    SHELL: '/bin/bash',
    PATH: searchPath,
    LANG: 'C.UTF-8',
    BROWSER: browser,
    ...(tty ? { TERM: 'xterm-256color' } : {}),
    ...sprite,
    ...Object.fromEntries(given),
  };
}

/** Zero means for ever on the wire. */
function lifeAfterDisconnect(ms: number | undefined, tty: boolean): number | null {
  if (ms === undefined) return tty ? null : defaultMaxRunAfterDisconnectMs;
  return ms === 0 ? null : ms;
}

function assertFits({ argv, path, env, dir }: SessionRequest): void {
  const sizeBytes = Buffer.byteLength(JSON.stringify({ argv, path, env, dir }));
  if (sizeBytes <= maxCommandBytes) return;
  throw new SylphError(
    'invalid_request',
    `the command with its environment takes ${sizeBytes} bytes, more than ${maxCommandBytes}`,
    {
      hint: 'Pass large input through stdin, or put it into a file of the sprite.',
    },
  );
}
