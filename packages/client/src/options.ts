import { ClientError } from './errors.ts';
import type { Transport } from './transport/transport.ts';
import { webTransport } from './transport/web.ts';

/** Deadlines, milliseconds. */
export interface Timeouts {
  /** Until a connection to the server stands. */
  connectMs: number;
  /** A plain request, connection included. */
  restMs: number;
  /** Creating a sprite: the first of its size boots an image. */
  createMs: number;
  /** start, suspend, restart, upgrade, recover, fork, delete; and the server's answer to opening an exec session, which may wake the sprite. */
  lifecycleMs: number;
  /** Longest silence of a stream of lines (checkpoint, restore, kill). */
  streamStallMs: number;
  /** Longest silence of an exec connection; it is pinged every third of this. */
  execStallMs: number;
}

/** The deadlines unless told otherwise. */
export const defaultTimeouts: Timeouts = {
  connectMs: 30_000,
  restMs: 30_000,
  createMs: 120_000,
  lifecycleMs: 120_000,
  streamStallMs: 120_000,
  execStallMs: 45_000,
};

/** How to reach a server. */
export interface ClientOptions {
  /** `http://host:port`, with or without a path prefix. */
  baseUrl: string;
  /** Bearer token; without one only `/healthz` and `/openapi.json` answer. */
  token?: string | undefined;
  fetch?: typeof fetch | undefined;
  /** Ends everything of this client. */
  signal?: AbortSignal | undefined;
  timeouts?: Partial<Timeouts> | undefined;
  /** Attempts to take an exec session up again after a dropped connection, default 15, about a minute; 0 = never. */
  resumeAttempts?: number | undefined;
  /** Extra `User-Agent`. */
  userAgent?: string | undefined;
  /** Sockets; default: those of the platform. */
  transport?: Transport | undefined;
}

/** Options with every default filled in. */
export interface ResolvedOptions {
  /** Without a trailing slash. */
  baseUrl: string;
  headers: Record<string, string>;
  fetch: typeof fetch;
  signal: AbortSignal | undefined;
  timeouts: Timeouts;
  resumeAttempts: number;
  transport: Transport;
}

/** Fills the defaults in. Throws `invalid_request` for an address that is none. */
export function resolveOptions(options: ClientOptions): ResolvedOptions {
  return {
    baseUrl: parseBaseUrl(options.baseUrl),
    headers: {
      ...(options.token === undefined ? {} : { authorization: `Bearer ${parseToken(options.token)}` }),
      'user-agent': options.userAgent ?? 'sylph-client/0.1',
    },
    fetch: options.fetch ?? globalThis.fetch,
    signal: options.signal,
    timeouts: { ...defaultTimeouts, ...options.timeouts },
    resumeAttempts: options.resumeAttempts ?? 15,
    transport: options.transport ?? webTransport(),
  };
}

/** Checks a server address and removes trailing slashes. */
export function parseBaseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (
    url === undefined ||
    !/^https?:$/.test(url.protocol) ||
    url.search !== '' ||
    url.hash !== '' ||
    url.username !== ''
  ) {
    throw new ClientError('invalid_request', `"${text}" is not the address of a server`, {
      hint: 'write it as http://host:port',
    });
  }
  return url.href.replace(/\/+$/, '');
}

function parseToken(token: string): string {
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new ClientError('invalid_request', 'the token holds characters that no token has', {
      hint: 'copy it again, without blanks and line ends',
    });
  }
  return token;
}
