import type { Repository, SpriteService } from '@sylph/engine';
import type { HostInfo, SshKeyList } from '@sylph/model';
import type { Logger } from 'pino';

/** Bounds of the API. Every one has a default in {@link defaultLimits}. */
export interface ApiLimits {
  /** Longest JSON body. */
  maxJsonBytes: number;
  /** A JSON body has to be there by then. */
  bodyTimeoutMs: number;
  /** Longest request line with headers; the arguments of a command travel in it. */
  maxHeaderBytes: number;
  /** Request line and headers have to be there by then. */
  headersTimeoutMs: number;
  /** Connections open at once, of any kind. */
  maxConnections: number;
  /** Exec sockets, HTTP execs and streams open at once. */
  maxStreams: number;
  /** Requests of one token in a minute, 0 = as many as it likes. */
  requestsPerMinute: number;
  /** Sprites an organization makes in a minute, forks included, 0 = as many as it likes. */
  creationsPerMinute: number;
  /** Sprites of all organizations that may be awake at once, 0 = as many as there are. The engine keeps to it; here it is told. */
  maxAwake: number;
  /** Longest WebSocket message from a client. */
  maxMessageBytes: number;
  /** Unsent output of a client's socket at which its session is held back. */
  maxUnsentBytes: number;
  /** Unwritten input of a client at which its socket is no longer read. */
  maxUnwrittenBytes: number;
  /** A body of a file that stops for so long is given up, and so is a client that takes nothing of one. */
  fileStallMs: number;
  /** A quiet exec socket gets a message after so long: one client gives up after 45 s without. */
  keepAliveMs: number;
  /** Longest wait for a client to say goodbye, when the API closes or the client's token is no longer valid. */
  closeTimeoutMs: number;
  /** What is open is held against its token so often. */
  tokenCheckIntervalMs: number;
}

/** Bounds for an ordinary host. */
export const defaultLimits: ApiLimits = {
  maxJsonBytes: 1024 * 1024,
  bodyTimeoutMs: 30_000,
  maxHeaderBytes: 256 * 1024,
  headersTimeoutMs: 15_000,
  maxConnections: 4_096,
  maxStreams: 1_024,
  requestsPerMinute: 60_000,
  creationsPerMinute: 600,
  maxAwake: 0,
  maxMessageBytes: 16 * 1024 * 1024,
  maxUnsentBytes: 1024 * 1024,
  maxUnwrittenBytes: 1024 * 1024,
  fileStallMs: 60_000,
  keepAliveMs: 20_000,
  closeTimeoutMs: 5_000,
  tokenCheckIntervalMs: 10_000,
};

/** What the API stands on. */
export interface ApiDeps {
  service: SpriteService;
  repository: Repository;
  host: () => Promise<HostInfo>;
  logger: Logger;
  /** Version of the daemon, e.g. `0.1.0`. */
  version: string;
  /** Where a sprite's HTTP server, or one of its ports, is reached; no slash at the end. */
  spriteUrl: (name: string, urlSuffix: string, port?: number | null) => string;
  /** Below which sprites have their URLs. */
  domain: string;
  /** Whether sprites can be served; `/healthz` tells it. */
  ready: () => boolean;
  /** How the SSH server shows itself; null: there is none. */
  ssh?: () => SshKeyList['server'];
  /** Special networks an operator has opened to sprites (`network-allow`); default none. */
  allowedSpecial?: readonly string[];
  limits?: Partial<ApiLimits>;
}

/** {@link ApiDeps} with every limit filled. */
export type ResolvedDeps = Omit<ApiDeps, 'limits'> & { limits: ApiLimits };
