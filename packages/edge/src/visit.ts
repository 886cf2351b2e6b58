import type { Client, ClientRequest } from './client.ts';
import type { Authority, Place } from './host.ts';

/** A request whose head makes sense. */
export interface Visit {
  request: ClientRequest;
  client: Client;
  /** As the client sent it. */
  host: string;
  authority: Authority;
  place: Place;
  /** Path with query, beginning with a slash; or `*`. */
  path: string;
}
