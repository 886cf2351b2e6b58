import { randomBytes } from 'node:crypto';
import type http2 from 'node:http2';
import type {
  GuestCalls,
  GuestChannel,
  GuestConnection,
  GuestFiles,
  GuestHello,
  GuestServices,
  GuestSockets,
  ProcessStream,
} from '@sylph/engine';
import {
  type ControlReply,
  type ControlRequest,
  type GuestPortLine,
  type GuestProcess,
  type GuestStats,
  type ProcessSpec,
  type ResumeEvent,
  type SignalName,
  encodeFrame,
  frameType,
  guestProcessList,
  guestStats,
  guestWireVersion,
} from '@sylph/model';
import type { ControlPort } from './control-port.ts';
import { openDataSession, openStream } from './data-session.ts';
import { withDeadline } from './deadline.ts';
import { agentFailed, refused, textOf } from './failure.ts';
import { connectThrough } from './guest-connection.ts';
import { HttpGuestCalls } from './guest-calls.ts';
import { HttpGuestServices } from './guest-services.ts';
import { HttpGuestSockets } from './guest-sockets.ts';
import { readHello } from './hello.ts';
import { HttpGuestFiles } from './files/guest-files.ts';
import { parseJson, request } from './json-request.ts';
import { exchangeNonce } from './nonce.ts';
import { readPortWatch } from './port-watch.ts';
import { HttpProcessStream } from './process-stream.ts';
import { connectWhenListening } from './unix-socket.ts';

/** What is known of a guest whose first word is the answer to `resume`, until that comes. */
const unheard: GuestHello = { version: guestWireVersion, agent: '', kernel: '', bootId: '' };

/** Deadline of the small requests that have none of their caller's, ms. */
const requestDeadlineMs = 15_000;

/** Deadline of a connection inside the guest, ms: the agent gives up after 10 s and says why. */
const dialDeadlineMs = 12_000;

/** {@link GuestChannel} over a connected control port, and the path of the data port. Owns both. */
export class PortsChannel implements GuestChannel {
  readonly broken: Promise<string>;
  readonly files: GuestFiles = new HttpGuestFiles(() => this.#usableSession());
  readonly calls: GuestCalls = new HttpGuestCalls(() => this.#usableSession());
  readonly sockets: GuestSockets = new HttpGuestSockets(() => this.#usableSession());
  readonly services: GuestServices = new HttpGuestServices(() => this.#usableSession());
  #hello: GuestHello;
  readonly #control: ControlPort;
  readonly #dataPath: string;
  readonly #settleBroken: (reason: string) => void;
  #session: http2.ClientHttp2Session | undefined;
  /** Why nothing more can be asked. */
  #over: string | undefined;

  /** `hello`: what the agent has answered already. */
  constructor(control: ControlPort, dataPath: string, hello: GuestHello) {
    this.#control = control;
    this.#dataPath = dataPath;
    this.#hello = hello;
    const { promise, resolve } = Promise.withResolvers<string>();
    this.broken = promise;
    this.#settleBroken = resolve;
    // Without its control port a guest can be neither flushed nor ended in order: the conversation is over.
    void control.closed.then((reason) => this.#break(reason));
  }

  /** A channel to a guest that starts from its memory: `resume` is the first it hears. On failure the caller closes `control`. */
  static async wake(
    control: ControlPort,
    dataPath: string,
    event: ResumeEvent,
    signal: AbortSignal,
  ): Promise<PortsChannel> {
    const channel = new PortsChannel(control, dataPath, unheard);
    await channel.#openData((nonce) => ({ op: 'resume', ...event, nonce }), signal);
    return channel;
  }

  get hello(): GuestHello {
    return this.#hello;
  }

  async resume(event: ResumeEvent, options: { deadlineMs: number }): Promise<void> {
    await withDeadline('resume', options.deadlineMs, (signal) =>
      this.#openData((nonce) => ({ op: 'resume', ...event, nonce }), signal),
    );
  }

  async open(options: { deadlineMs: number }): Promise<void> {
    await withDeadline('open', options.deadlineMs, (signal) =>
      this.#openData((nonce) => ({ op: 'open', nonce }), signal),
    );
  }

  async quiesce(options: { deadlineMs: number }): Promise<void> {
    await withDeadline('quiesce', options.deadlineMs, (signal) => this.#ask({ op: 'quiesce' }, signal));
  }

  async poweroff(options: { deadlineMs: number }): Promise<void> {
    await withDeadline('poweroff', options.deadlineMs, (signal) =>
      this.#ask({ op: 'poweroff', deadlineMs: guestDeadlineMs(options.deadlineMs) }, signal),
    );
  }

  async ping(options: { deadlineMs: number }): Promise<void> {
    await this.#request('GET', '/v1/ping', { deadlineMs: options.deadlineMs });
  }

  async stats(): Promise<GuestStats> {
    return parseJson(guestStats, await this.#request('GET', '/v1/stats'), 'statistics');
  }

  async processes(): Promise<GuestProcess[]> {
    return parseJson(guestProcessList, await this.#request('GET', '/v1/processes'), 'a list of processes').processes;
  }

  startProcess(spec: ProcessSpec): ProcessStream {
    return this.#stream('/v1/processes', 0, encodeFrame(frameType.spec, Buffer.from(JSON.stringify(spec))));
  }

  attachProcess(id: string, offset: number): ProcessStream {
    return this.#stream(`/v1/processes/${encodeURIComponent(id)}/attach?offset=${offset}`, offset);
  }

  async signalProcess(id: string, signal: SignalName): Promise<void> {
    await this.#request('POST', `/v1/processes/${encodeURIComponent(id)}/signal`, { body: { signal } });
  }

  async forgetProcess(id: string): Promise<void> {
    try {
      await this.#request('DELETE', `/v1/processes/${encodeURIComponent(id)}`);
    } catch (error) {
      if (!isUnknownProcess(error)) throw error;
    }
  }

  dial(target: { host: string; port: number }, options: { signal: AbortSignal }): Promise<GuestConnection> {
    return withDeadline(
      'a connection inside',
      dialDeadlineMs,
      async (signal) => connectThrough(this.#usableSession(), target, signal),
      options.signal,
    );
  }

  watchPorts({ signal }: { signal: AbortSignal }): AsyncIterable<GuestPortLine> {
    return readPortWatch(this.#usableSession(), signal);
  }

  async close(): Promise<void> {
    if (this.#over !== undefined) return;
    this.#over = 'the channel was closed';
    await this.#tearDown();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The data port is connected while the guest prepares its end; the nonce is written once it has answered, or its old session would swallow it. */
  async #openData(op: (nonce: string) => ControlRequest, signal: AbortSignal): Promise<void> {
    if (this.#session !== undefined) throw new Error('the data session is open already');
    const nonce = randomBytes(16);
    const abandon = new AbortController();
    const connecting = connectWhenListening(this.#dataPath, AbortSignal.any([signal, abandon.signal]));
    try {
      const [socket, reply] = await Promise.all([connecting, this.#ask(op(nonce.toString('hex')), signal)]);
      // The answer to `resume` is one to `hello` too.
      if (reply.version !== undefined) this.#hello = readHello(reply);
      await exchangeNonce(socket, nonce, signal);
      this.#useSession(await openDataSession(socket));
      this.#assertUsable();
    } catch (error) {
      abandon.abort(error);
      // The connection attempt ends with the same reason; its socket, if it made one, goes with it.
      void connecting.then((late) => late.destroy()).catch(() => {});
      throw error;
    }
  }

  #useSession(session: http2.ClientHttp2Session): void {
    if (this.#over !== undefined) {
      session.destroy();
      return;
    }
    this.#session = session;
    session.on('error', (error) => this.#break(`the data session failed: ${textOf(error)}`));
    session.on('goaway', () => this.#break('the guest ended the data session'));
    session.on('close', () => this.#break('the data port closed'));
  }

  async #ask(op: ControlRequest, signal: AbortSignal): Promise<ControlReply> {
    this.#assertUsable();
    const reply = await this.#control.request(op, { signal });
    if (!reply.ok) throw refused(op.op, reply);
    return reply;
  }

  #request(method: string, path: string, options: { body?: unknown; deadlineMs?: number } = {}): Promise<Buffer> {
    return withDeadline(`${method} ${path}`, options.deadlineMs ?? requestDeadlineMs, (signal) =>
      request(this.#usableSession(), method, path, { body: options.body, signal }),
    );
  }

  #stream(path: string, offset: number, first?: Buffer): ProcessStream {
    return new HttpProcessStream(openStream(this.#usableSession(), 'POST', path, { endStream: false }), offset, first);
  }

  #assertUsable(): void {
    if (this.#over !== undefined) throw agentFailed(this.#over);
  }

  #usableSession(): http2.ClientHttp2Session {
    this.#assertUsable();
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed)
      throw agentFailed('the data session is not open');
    return this.#session;
  }

  #break(reason: string): void {
    if (this.#over !== undefined) return;
    this.#over = agentFailed(reason).message;
    this.#settleBroken(this.#over);
    void this.#tearDown();
  }

  async #tearDown(): Promise<void> {
    const session = this.#session;
    this.#control.close(this.#over ?? 'the channel was closed');
    if (session !== undefined && !session.destroyed) {
      await new Promise<void>((resolve) => {
        session.once('close', resolve);
        session.destroy();
      });
    }
    await this.#control.closed;
  }
}

function isUnknownProcess(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'session_not_found';
}

/** What of a deadline the guest is told, so that its answer comes within it. */
function guestDeadlineMs(deadlineMs: number): number {
  return Math.max(Math.floor(deadlineMs / 2), deadlineMs - 2000);
}
