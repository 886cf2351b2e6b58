/** Bounds of the edge. Every one has a default in {@link defaultEdgeLimits}. */
export interface EdgeLimits {
  /** Longest request line with headers of a client: what common servers take, cookies included. */
  maxHeaderBytes: number;
  /** Longest head of a guest's answer; guests may set many cookies. */
  maxAnswerHeaderBytes: number;
  /** A client's request line and headers have to be there by then: slow clients hold a connection no longer. */
  headersTimeoutMs: number;
  /** A connection without a request is kept so long: longer than the reverse proxies keep theirs would only hold memory. */
  keepAliveTimeoutMs: number;
  /** Connections open at once: each costs some 20 KB. */
  maxConnections: number;
  /** Connections of one client address at once, unless a proxy of this host speaks from it. */
  maxConnectionsPerAddress: number;
  /** Requests and open WebSockets of one sprite at once: its agent carries 1,024 connections, which are not the edge's alone. */
  maxRequestsPerSprite: number;
  /** Connections kept open to one port of an awake sprite without a request. */
  maxIdleConnections: number;
  /** Sprites being started at once for requests that nobody has authenticated: strangers must not take all of the host's starts. */
  maxAnonymousStarts: number;
  /** A request waits so long for its sprite to run. */
  startTimeoutMs: number;
  /** A service that has to be started serves HTTP by then. */
  serviceTimeoutMs: number;
  /** A port that is looked at says by then that it speaks HTTP. */
  probeTimeoutMs: number;
  /** The head of a guest's answer is there by then: slow work takes minutes. While it is awaited the sprite stays awake. */
  answerTimeoutMs: number;
  /** A client that sends nothing of a body that it began, or takes nothing of an answer, is given up after so long. */
  stallTimeoutMs: number;
  /** Wrong tokens and passwords of one client address in a minute. */
  maxWrongSecrets: number;
  /** What is open is held against what its client was let in by so often. */
  proofIntervalMs: number;
  /** Longest wait for what is under way when the edge closes. */
  closeTimeoutMs: number;
}

/** Bounds for an ordinary host. */
export const defaultEdgeLimits: EdgeLimits = {
  maxHeaderBytes: 32 * 1024,
  maxAnswerHeaderBytes: 64 * 1024,
  headersTimeoutMs: 15_000,
  keepAliveTimeoutMs: 75_000,
  maxConnections: 16_384,
  maxConnectionsPerAddress: 1_024,
  maxRequestsPerSprite: 512,
  maxIdleConnections: 32,
  maxAnonymousStarts: 8,
  startTimeoutMs: 120_000,
  serviceTimeoutMs: 60_000,
  probeTimeoutMs: 3_000,
  answerTimeoutMs: 300_000,
  stallTimeoutMs: 120_000,
  maxWrongSecrets: 20,
  proofIntervalMs: 5_000,
  closeTimeoutMs: 5_000,
};
