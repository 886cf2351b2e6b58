import { ClientError } from '../errors.ts';
import { deferred, type Deferred } from '../deferred.ts';
import type { Socket } from '../transport/transport.ts';
import { encodeInput, streamByte } from './frames.ts';
import { InputLog } from './input-log.ts';

/** Input of a command. */
export interface ExecInput {
  /** Resolves when more may be written. Bytes after the command's end are dropped silently. Rejects when the session failed. */
  write(bytes: Uint8Array): Promise<void>;
  /** End of file. For a terminal: nothing, programs there read until they are told otherwise. */
  end(): Promise<void>;
}

/** What the input knows of its session. */
export interface InputSession {
  id: () => string;
  tty: () => boolean;
  /** Whether input is counted: only then can it go on after a broken connection. A terminal's is not, its user sees what arrived. */
  counted: () => boolean;
  /** The present connection, after waiting for one; undefined when the command has ended. */
  writable: () => Promise<Socket | undefined>;
}

/** Input that may be on its way unconfirmed before `write` waits. */
const windowBytes = 2 ** 20;

/** Input that may be on its way where no connection confirms any: more than sockets and systems hold. */
const unconfirmableBytes = 16 * 2 ** 20;

/** A session's input over as many connections as it takes. What a broken one may have lost is sent again, where the server tells how much it has. */
export class ResumableInput implements ExecInput {
  readonly #session: InputSession;
  readonly #log = new InputLog();
  #socket: Socket | undefined;
  #connectedBefore = false;
  /** Input the session had taken, from whomever, before ours; undefined when the server did not tell. */
  #origin: number | undefined;
  /** A confirmation is under way. */
  #asking = false;
  #ended = false;
  /** The session is over. */
  #closed = false;
  /** Settles with the next confirmation. */
  #confirmed: Deferred<void> = deferred();

  constructor(session: InputSession) {
    this.#session = session;
  }

  async write(bytes: Uint8Array): Promise<void> {
    const socket = await this.#session.writable();
    if (socket === undefined || this.#ended) return;
    this.#log.sent(bytes);
    let ready: Promise<void> | undefined;
    for (const message of encodeInput(bytes, this.#session.tty())) ready = socket.send(message);
    this.#ask(socket);
    await ready;
    while (
      socket.ping !== undefined &&
      this.#session.counted() &&
      !this.#closed &&
      this.#log.unconfirmedBytes > windowBytes
    )
      await this.#confirmed.promise;
  }

  async end(): Promise<void> {
    if (this.#session.tty() || this.#ended) return;
    const socket = await this.#session.writable();
    this.#ended = true;
    await socket?.send(Uint8Array.of(streamByte.stdinEof));
  }

  /**
   * A connection stands. `acceptedBytes`: input the server says the session has. Throws `connection_lost` where input was on its way when the one before broke and nobody knows how much of it arrived.
   */
  connect(socket: Socket, acceptedBytes: number | undefined): void {
    if (this.#connectedBefore) this.#takeUp(socket, acceptedBytes);
    else this.#origin = acceptedBytes;
    this.#connectedBefore = true;
    this.#socket = socket;
    if (this.#log.unconfirmedBytes > 0) this.#ask(socket);
  }

  /** The connection is gone. */
  disconnect(): void {
    this.#socket = undefined;
    this.#asking = false;
  }

  /** The server has read input up to this count. */
  confirm(bytes: number): void {
    this.#asking = false;
    this.#log.confirm(bytes);
    this.#confirmed.resolve();
    this.#confirmed = deferred();
    if (this.#log.unconfirmedBytes > 0 && this.#socket !== undefined) this.#ask(this.#socket);
  }

  /** The session is over: nobody waits any more. */
  close(): void {
    this.#closed = true;
    this.#confirmed.resolve();
  }

  #takeUp(socket: Socket, acceptedBytes: number | undefined): void {
    const tty = this.#session.tty();
    const fate = this.#log.fate(
      acceptedBytes === undefined || this.#origin === undefined ? undefined : acceptedBytes - this.#origin,
    );
    // A terminal's user sees what arrived; a program's input must not silently miss a piece.
    if (!fate.known && !tty) {
      throw new ClientError(
        'connection_lost',
        'the connection broke while input was on its way; nobody knows how much of it arrived',
        { hint: `the command goes on as session ${this.#session.id()}` },
      );
    }
    if (fate.known)
      for (const part of fate.resend) for (const message of encodeInput(part, tty)) void socket.send(message);
    if (this.#ended && !tty) void socket.send(Uint8Array.of(streamByte.stdinEof));
  }

  /** A ping whose answer tells that the server has read the input before it; one at a time. Without pings what was sent long ago is taken for read: too little to go on with is noticed when a connection breaks. */
  #ask(socket: Socket): void {
    if (socket.ping === undefined) return this.#log.confirm(this.#log.sentBytes - unconfirmableBytes);
    if (this.#asking || !this.#session.counted()) return;
    this.#asking = true;
    socket.ping(String(this.#log.sentBytes));
  }
}
