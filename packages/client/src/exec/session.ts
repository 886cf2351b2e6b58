import { ClientError, rootReason } from '../errors.ts';
import { deferred, type Deferred } from '../deferred.ts';
import { delay, linkedController, timeoutError } from '../deadline.ts';
import type { ResolvedOptions } from '../options.ts';
import { overflowCode, type Socket } from '../transport/transport.ts';
import { decodeFrame, type OutputChunk } from './frames.ts';
import { ResumableInput, type ExecInput } from './input.ts';
import { Keepalive } from './keepalive.ts';
import { exitCode, offsetOf, parseMessage, sessionInfo, type ServerMessage, type SessionInfo } from './messages.ts';
import { OutputQueue } from './output-queue.ts';
import type { SessionWatch, TerminalSize } from './request.ts';

/** How a command ended. */
export interface ExecExit {
  /** 0–255; 128 + n for a command ended by signal n. */
  code: number;
}

/** What opening a session needs. */
export interface SessionStart {
  options: ResolvedOptions;
  url: URL;
  /** Address that takes the session up again at an output offset. */
  resumeUrl: (id: string, offset: number) => URL;
  watch: SessionWatch;
  tty: boolean;
  /** Output offset the first connection begins at; undefined when only the server knows. */
  offset: number | undefined;
  /** Whether `stdin` goes anywhere. */
  stdin: boolean;
}

const reconnectFirstMs = 200;
const reconnectLongestMs = 5000;
/** Signals kept for the next connection. */
const mostUnsent = 16;
/** Codes after which another attempt to connect cannot help. */
const finalCodes = new Set([
  'session_not_found',
  'sprite_not_found',
  'not_found',
  'session_exited',
  'session_lost',
  'unauthenticated',
  'forbidden',
  'invalid_request',
  'protocol',
]);

/**
 * A running command. Read `output` (or call `discardOutput`): beyond 1 MiB unread the command is held back, and its exit comes after its output.
 * A dropped connection is taken up again where it broke, if the server can. Dispose it to leave; the command lives on as it was started.
 */
export class ExecSession implements AsyncDisposable {
  readonly output: AsyncIterable<OutputChunk>;
  /** Rejects with `session_lost`, `connection_lost`, or the reason of the signal; `output` then throws the same. */
  readonly exit: Promise<ExecExit>;
  /** Input of the command. */
  readonly stdin: ExecInput;

  readonly #start: SessionStart;
  readonly #queue: OutputQueue;
  readonly #input = new ResumableInput({
    id: () => this.id,
    tty: () => this.#tty,
    counted: () => this.#resumable && !this.#tty,
    writable: () => this.#writable(),
  });
  readonly #life: ReturnType<typeof linkedController>;
  #info: SessionInfo | undefined;
  #tty: boolean;
  #socket: Socket | undefined;
  #keepalive: Keepalive | undefined;
  #offset: number | undefined;
  /** Bytes to come that draw a screen and do not count. */
  #screenBytes = 0;
  #resumable = false;
  #complaint: string | undefined;
  #ended = false;
  #size: TerminalSize | undefined;
  /** Signals for the next connection. */
  #unsent: string[] = [];
  /** Settles when the session has a connection again, or has ended. */
  #connected: Deferred<void> = deferred();
  readonly #exit: Deferred<ExecExit> = deferred();

  private constructor(start: SessionStart) {
    this.#start = start;
    this.#tty = start.tty;
    this.#offset = start.offset;
    this.#life = linkedController([start.watch.signal, start.options.signal]);
    this.#queue = new OutputQueue({ pause: () => this.#socket?.pause(), resume: () => this.#socket?.resume() });
    this.output = this.#queue;
    this.exit = this.#exit.promise;
    // Who reads only the output learns of the failure there.
    this.exit.catch(() => undefined);
    this.#connected.promise.catch(() => undefined);
    this.stdin = this.#input;
  }

  /** Connects and waits for the server to name the session. */
  static async open(start: SessionStart): Promise<ExecSession> {
    const session = new ExecSession(start);
    session.#life.controller.signal.addEventListener(
      'abort',
      () => session.#fail(session.#life.controller.signal.reason),
      { once: true },
    );
    try {
      await session.#connect(start.url);
    } catch (thrown) {
      session.#fail(thrown);
      throw thrown;
    }
    return session;
  }

  /** Id of the session, as the session list shows it. */
  get id(): string {
    return this.#info?.id ?? '';
  }

  get info(): SessionInfo | undefined {
    return this.#info;
  }

  get tty(): boolean {
    return this.#tty;
  }

  /** Output bytes received, counted from the command's start; undefined when the server did not say where its scrollback begins. */
  get offset(): number | undefined {
    return this.#offset;
  }

  /** Tells the command's terminal its size; repeated after a reconnect. */
  resize(size: TerminalSize): void {
    this.#size = size;
    this.#say({ type: 'resize', ...size });
  }

  /** Sends a signal, with or without `SIG`, to the command; while the connection is broken, as soon as it stands again. Lost silently when it has ended. */
  kill(signal: string): void {
    if (this.#socket !== undefined) this.#say({ type: 'signal', signal });
    else if (this.#unsent.length < mostUnsent) this.#unsent.push(signal);
  }

  /** Reads and drops the rest of the output, so that `exit` can come. */
  discardOutput(): void {
    void (async () => {
      for await (const chunk of this.#queue) void chunk;
    })().catch(() => undefined); // The failure is in `exit`.
  }

  /** Leaves the command running and closes the connection; `exit` rejects with `connection_lost`. */
  detach(): void {
    this.#fail(new ClientError('connection_lost', `detached from session ${this.id}`));
  }

  /** Leaves, as {@link detach} does, and resolves when that is done. */
  async close(): Promise<void> {
    this.detach();
    await this.exit.catch(() => undefined); // Detaching is not a failure of the caller.
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #connect(url: URL): Promise<void> {
    const { options } = this.#start;
    const greeted = deferred<SessionInfo | undefined>();
    greeted.promise.catch(() => undefined); // Awaited below, unless connecting itself fails.
    let socket: Socket | undefined;
    socket = await options.transport.connect({
      url,
      headers: options.headers,
      connectMs: options.timeouts.connectMs,
      answerMs: options.timeouts.lifecycleMs,
      signal: this.#life.controller.signal,
      events: {
        message: (data) => this.#heard(data, greeted.resolve),
        pong: (text) => {
          this.#keepalive?.heard();
          if (text !== '') this.#input.confirm(Number(text));
        },
        closed: (end) => {
          greeted.reject(
            new ClientError(
              'connection_lost',
              `the server closed the connection (${end.code}${end.reason === '' ? '' : `: ${end.reason}`})`,
              { retryable: true },
            ),
          );
          this.#closed(socket, end);
        },
      },
    });
    const open = socket;
    const timer = setTimeout(
      () => greeted.reject(timeoutError('the session', options.timeouts.connectMs)),
      options.timeouts.connectMs,
    );
    try {
      const info = await Promise.race([greeted.promise, this.#exit.promise.then(() => undefined)]);
      if (this.#ended) open.close(1000);
      else this.#adopt(open, info);
    } catch (thrown) {
      open.terminate();
      throw thrown;
    } finally {
      clearTimeout(timer);
    }
  }

  /** The connection stands: it becomes the one that is written to. */
  #adopt(socket: Socket, info: SessionInfo | undefined): void {
    if (this.#size !== undefined) void socket.send(JSON.stringify({ type: 'resize', ...this.#size }));
    this.#input.connect(socket, info?.inputOffset);
    this.#socket = socket;
    for (const signal of this.#unsent.splice(0)) this.#say({ type: 'signal', signal });
    if (this.#queue.paused) socket.pause();
    this.#keepalive = new Keepalive({
      stallMs: this.#start.options.timeouts.execStallMs,
      ping: () => socket.ping?.(''),
      listening: () => !this.#queue.paused,
      dead: () => socket.terminate(),
    });
    this.#connected.resolve();
  }

  #heard(data: Uint8Array | string, greet: (info: SessionInfo | undefined) => void): void {
    this.#keepalive?.heard();
    if (this.#ended) return;
    try {
      if (typeof data === 'string') this.#heardText(data, greet);
      else {
        greet(undefined);
        this.#heardBytes(data);
      }
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #heardText(text: string, greet: (info: SessionInfo | undefined) => void): void {
    const message = parseMessage(text);
    if (message === undefined) return;
    switch (message.type) {
      case 'session_info': {
        const info = sessionInfo(message);
        this.#info = info;
        this.#tty = info.tty;
        // Servers that keep output by offset say where it begins; others cannot take a session up again.
        this.#resumable = info.offset !== undefined;
        this.#startsAt(info.offset);
        this.#screenBytes = info.screenBytes;
        // Before anything else can arrive: the id is needed to come back.
        greet(info);
        break;
      }
      case 'exit': {
        const code = exitCode(message);
        // Without a terminal the binary frame is the one that comes after the last byte.
        if (this.#tty && code !== undefined) this.#succeed(code);
        break;
      }
      case 'lost':
        throw new ClientError('session_lost', `nobody knows how the command ended: ${textOf(message, 'reason')}`, {
          hint: 'look at what it has done before running it again',
        });
      case 'dropped':
        this.#startsAt(offsetOf(message, 'to'));
        break;
      case 'error':
        // About one message, or the reason of the close that follows.
        this.#complaint = textOf(message, 'message', 'error');
        break;
      default:
        break;
    }
    this.#start.watch.onMessage?.(message);
  }

  #startsAt(offset: number | undefined): void {
    if (offset === undefined) return;
    if (this.#offset !== undefined && offset > this.#offset)
      this.#start.watch.onDropped?.({ from: this.#offset, to: offset });
    this.#offset = offset;
  }

  #heardBytes(data: Uint8Array): void {
    if (this.#tty) return this.#output({ stream: 'stdout', bytes: data });
    const frame = decodeFrame(data);
    if (frame.type === 'output') this.#output(frame.chunk);
    else if (frame.type === 'exit') this.#succeed(frame.code);
  }

  #output(chunk: OutputChunk): void {
    const drawing = Math.min(this.#screenBytes, chunk.bytes.length);
    this.#screenBytes -= drawing;
    if (this.#offset !== undefined) this.#offset += chunk.bytes.length - drawing;
    this.#queue.push(chunk);
  }

  #closed(socket: Socket | undefined, end: { code: number; reason: string }): void {
    // Before it was adopted, the one who opened it learns of the end.
    if (this.#ended || socket === undefined || socket !== this.#socket) return;
    this.#keepalive?.stop();
    this.#socket = undefined;
    this.#input.disconnect();
    this.#connected = deferred();
    this.#connected.promise.catch(() => undefined);
    const reason = `the connection broke (${end.code}${end.reason === '' ? '' : `: ${end.reason}`})${this.#complaint === undefined ? '' : `: ${this.#complaint}`}`;
    // Servers of this protocol that keep no offsets tell a terminal's exit by the close code alone.
    if (!this.#resumable && this.#tty && end.code === 1000) return this.#succeed(0);
    if (!this.#resumable && this.#tty && end.code >= 4000) return this.#succeed(1);
    this.#resume(reason, end.code === overflowCode).catch((thrown: unknown) => this.#fail(thrown));
  }

  async #resume(reason: string, overflown: boolean): Promise<void> {
    const { options, resumeUrl, watch } = this.#start;
    const attempts = this.#resumable && this.#offset !== undefined && this.id !== '' ? options.resumeAttempts : 0;
    let last: unknown = new ClientError('connection_lost', `${reason} before the command ended`, {
      hint: this.id === '' ? undefined : `it may still run: sylph sessions attach ${this.id}`,
      retryable: true,
    });
    // What has come is to be read first: the connection was ended because nobody did.
    if (overflown && attempts > 0) await this.#queue.flowing(this.#life.controller.signal);
    for (let attempt = 1; attempt <= attempts; attempt++) {
      watch.onConnection?.({ type: 'lost', reason: attempt === 1 ? reason : rootReason(last), attempt });
      await delay(Math.min(reconnectFirstMs * 2 ** (attempt - 1), reconnectLongestMs), this.#life.controller.signal);
      try {
        await this.#connect(resumeUrl(this.id, this.#offset ?? 0));
        if (!this.#ended) watch.onConnection?.({ type: 'resumed' });
        return;
      } catch (thrown) {
        last = thrown;
        if (thrown instanceof ClientError && finalCodes.has(thrown.code)) break;
        if (thrown instanceof ClientError && thrown.code === 'connection_lost' && !thrown.retryable) break;
      }
    }
    throw last;
  }

  /** The present connection, after waiting for one; undefined when the command has ended. */
  async #writable(): Promise<Socket | undefined> {
    while (!this.#ended && this.#socket === undefined) await this.#connected.promise;
    return this.#ended ? undefined : this.#socket;
  }

  #say(message: ServerMessage): void {
    if (!this.#ended) void this.#socket?.send(JSON.stringify(message));
  }

  #succeed(code: number): void {
    if (this.#ended) return;
    this.#queue.end();
    this.#exit.resolve({ code });
    this.#finish();
  }

  #fail(error: unknown): void {
    if (this.#ended) return;
    this.#queue.end(error);
    this.#exit.reject(error);
    this.#finish();
  }

  #finish(): void {
    this.#ended = true;
    this.#life.unlink();
    this.#keepalive?.stop();
    this.#socket?.resume();
    this.#socket?.close(1000);
    this.#connected.resolve();
    this.#input.close();
    // Ends a connection attempt that is under way.
    this.#life.controller.abort(new ClientError('connection_lost', 'the session is over'));
  }
}

function textOf(message: ServerMessage, ...keys: string[]): string {
  for (const key of keys) if (typeof message[key] === 'string') return message[key];
  return 'no reason given';
}
