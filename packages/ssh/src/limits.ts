/** Bounds of the SSH server. */
export interface SshLimits {
  /** Connections open at once. */
  maxConnections: number;
  /** Of these, connections of one address that have not authenticated yet, and of all. */
  maxUnauthenticatedPerAddress: number;
  maxUnauthenticated: number;
  /** A connection has to be authenticated by then. */
  authTimeoutMs: number;
  /** Public keys one connection may offer: an agent may hold many. */
  maxKeyOffers: number;
  /** Tokens one connection may try. */
  maxTokenTries: number;
  /** Wrong tokens of one address in a minute, beyond which its tokens are refused unseen. */
  tokenFailuresPerMinute: number;
  /** Channels of one connection. */
  maxChannels: number;
  /** Ports and sockets inside that one connection may have listened on. */
  maxListeners: number;
  /** A command without a terminal keeps its sprite awake until it and its client have been silent for so long. */
  commandSilenceMs: number;
  /** Unsent bytes of a connection at which nothing more is written to it, and, beyond any window a client may open, at which it is no longer read. */
  maxUnsentBytes: number;
  /** A silent connection is asked whether it lives so often, and given up after so many questions without an answer. */
  keepAliveMs: number;
  keepAliveTries: number;
  /** What is open is held against its key, token and sprite so often. */
  checkIntervalMs: number;
}

/** Bounds for an ordinary host. */
export const defaultSshLimits: SshLimits = {
  maxConnections: 1_024,
  maxUnauthenticatedPerAddress: 32,
  maxUnauthenticated: 128,
  authTimeoutMs: 30_000,
  maxKeyOffers: 20,
  maxTokenTries: 3,
  tokenFailuresPerMinute: 10,
  maxChannels: 128,
  maxListeners: 16,
  commandSilenceMs: 3_600_000,
  maxUnsentBytes: 1024 * 1024,
  keepAliveMs: 60_000,
  keepAliveTries: 10,
  checkIntervalMs: 5_000,
};
