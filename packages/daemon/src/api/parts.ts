import type { ResolvedDeps } from './deps.ts';
import type { Idempotency } from './idempotency.ts';
import type { LiveSet } from './live.ts';
import type { PortBoards } from './port-board.ts';
import type { RateLimits } from './rate-limits.ts';
import type { WebSockets } from './websocket.ts';

/** What the files of routes are given. */
export interface ApiParts {
  deps: ResolvedDeps;
  idempotency: Idempotency;
  live: LiveSet;
  rates: RateLimits;
  ports: PortBoards;
  websockets: WebSockets;
}
