import { ClientError } from '../errors.ts';
import type { ServerMessage } from './messages.ts';

/** Size of a terminal. */
export interface TerminalSize {
  cols: number;
  rows: number;
}

/** What one hears of a session besides its output. */
export interface SessionWatch {
  /** Ends the connection, not the command: that lives on as `maxRunAfterDisconnectMs` says. */
  signal?: AbortSignal | undefined;
  /** Text messages such as `port_opened` and `debug`. */
  onMessage?: ((message: ServerMessage) => void) | undefined;
  /** The connection broke (`lost`) or stands again (`resumed`). */
  onConnection?: ((event: { type: 'lost'; reason: string; attempt: number } | { type: 'resumed' }) => void) | undefined;
  /** Output the server no longer had: bytes `from` to `to`. */
  onDropped?: ((range: { from: number; to: number }) => void) | undefined;
}

/** What to run, shared by WebSocket and HTTP exec. */
export interface CommandRequest {
  /** Program and arguments, passed on as they are: no shell. */
  cmd: readonly string[];
  /** Program to start when it differs from `cmd[0]`. */
  path?: string | undefined;
  env?: Readonly<Record<string, string>> | undefined;
  dir?: string | undefined;
}

/** A command over a WebSocket. */
export interface ExecRequest extends CommandRequest, SessionWatch {
  /** Runs in a terminal of this size. */
  tty?: TerminalSize | undefined;
  /** Whether `stdin` will be used; default false without a terminal: the command sees an empty input. */
  stdin?: boolean | undefined;
  /** How long the command may live after the last client left; server's default: a terminal for ever, others 10 s. 0 = for ever. */
  maxRunAfterDisconnectMs?: number | undefined;
}

/** Taking up a session. */
export interface AttachRequest extends SessionWatch {
  stdin?: boolean | undefined;
  /** First output byte to get; default: what the server keeps as scrollback. */
  offset?: number | undefined;
}

/** Query of a command. Throws `invalid_request` for an empty one. */
export function commandQuery(request: CommandRequest): URLSearchParams {
  const program = request.path ?? request.cmd[0];
  if (program === undefined || program === '')
    throw new ClientError('invalid_request', 'there is no command to run', { hint: 'name a program' });
  const query = new URLSearchParams();
  for (const argument of request.cmd) query.append('cmd', argument);
  query.append('path', program);
  for (const [name, value] of Object.entries(request.env ?? {})) query.append('env', `${name}=${value}`);
  if (request.dir !== undefined) query.append('dir', request.dir);
  return query;
}

/** Query of an exec socket. */
export function execQuery(request: ExecRequest): URLSearchParams {
  const query = commandQuery(request);
  if (request.tty !== undefined) {
    query.append('tty', 'true');
    query.append('cols', String(request.tty.cols));
    query.append('rows', String(request.tty.rows));
  }
  query.append('stdin', String(request.stdin ?? request.tty !== undefined));
  if (request.maxRunAfterDisconnectMs !== undefined) {
    query.append(
      'max_run_after_disconnect',
      request.maxRunAfterDisconnectMs === 0 ? '0' : `${request.maxRunAfterDisconnectMs}ms`,
    );
  }
  return query;
}
