import type { Duplex } from 'node:stream';

/** A connection inside the guest, of TCP or to a Unix socket. */
export interface GuestConnection {
  /** Address and port it goes to, e.g. `127.0.0.1:5432`. */
  readonly target: string;
  /**
   * Its bytes; reading is what lets more come. `end` passes the end of input on; destroying it earlier resets the connection. It ends when the connection ended in order; closed without that, the connection or the
   * channel broke. Errors are heard from the start.
   */
  readonly stream: Duplex;
  /** Whether it is the connection itself that broke, of a stream that closed without an end. */
  readonly reset: boolean;
}

/** There is no connection: errno name (`ENOTFOUND` for an unknown name) and text as the agent gave them. */
export class GuestDialError extends Error {
  readonly errno: string;

  constructor(errno: string, message: string) {
    super(message);
    this.name = 'GuestDialError';
    this.errno = errno;
  }
}
