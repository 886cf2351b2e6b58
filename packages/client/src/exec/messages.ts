import { parseObject } from '../json.ts';

/** A text message of the server on an exec socket. `type` tells what it is; unknown ones are passed on untouched. */
export type ServerMessage = { type: string } & Record<string, unknown>;

/** First message of every exec socket. */
export interface SessionInfo {
  id: string;
  command: string;
  tty: boolean;
  isOwner: boolean;
  /** Where the output that follows begins, counted in bytes from the command's start; undefined when the server does not say. */
  offset: number | undefined;
  /** Input bytes the command's session has taken, when the server says. */
  inputOffset: number | undefined;
  /** The first so many bytes draw the terminal's screen as it was at `offset`; they do not count. */
  screenBytes: number;
}

/** Parses a text message; undefined for what is none. */
export function parseMessage(text: string): ServerMessage | undefined {
  // Servers may say what clients do not know; nothing depends on it.
  const value = parseObject(text);
  return typeof value?.['type'] === 'string' ? (value as ServerMessage) : undefined;
}

/** Reads `session_info`. */
export function sessionInfo(message: ServerMessage): SessionInfo {
  return {
    id: idOf(message['session_id']),
    command: typeof message['command'] === 'string' ? message['command'] : '',
    tty: message['tty'] === true,
    isOwner: message['is_owner'] === true,
    offset: offsetOf(message, 'offset'),
    inputOffset: offsetOf(message, 'input_offset'),
    screenBytes: offsetOf(message, 'screen_bytes') ?? 0,
  };
}

/** Exit code of a text `exit`; the public API calls it `exit_code`, one of its clients `code`. */
export function exitCode(message: ServerMessage): number | undefined {
  return offsetOf(message, 'exit_code') ?? offsetOf(message, 'code');
}

/** A count in a message; undefined when it is missing or none. */
export function offsetOf(message: ServerMessage, key: string): number | undefined {
  const value = message[key];
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;
}

/** Old servers count sessions with numbers. */
function idOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}
