import http2 from 'node:http2';
import type { GuestServices, ServiceCallOptions } from '@sylph/engine';
import {
  type GuestServiceDefinition,
  guestService,
  guestServiceEvent,
  guestServiceList,
  guestServiceRefusal,
  maxServiceLineBytes,
  maxServicesAnswerBytes,
  type Service,
  type ServiceEvent,
  type SignalName,
  SylphError,
} from '@sylph/model';
import { cleanText } from './clean-text.ts';
import { openStream, responseOf } from './data-session.ts';
import { withDeadline } from './deadline.ts';
import { agentFailed, textOf, tooOld } from './failure.ts';
import { parseJson } from './json-request.ts';
import { LineSplitter } from './lines.ts';

/** Deadline of an answer, or of the head of one that streams, ms: longer than the agent waits for a service it is to forget, 10 s and 5 s more. */
const answerDeadlineMs = 30_000;

/** {@link GuestServices} over a data session. */
export class HttpGuestServices implements GuestServices {
  readonly #session: () => http2.ClientHttp2Session;

  constructor(session: () => http2.ClientHttp2Session) {
    this.#session = session;
  }

  async list(options: ServiceCallOptions): Promise<Service[]> {
    return parseJson(guestServiceList, await this.#whole('GET', '', options), 'a list of services');
  }

  async get(name: string, options: ServiceCallOptions): Promise<Service> {
    return parseJson(guestService, await this.#whole('GET', at(name), options), 'a service');
  }

  put(
    name: string,
    definition: GuestServiceDefinition,
    { windowMs, signal }: { windowMs: number } & ServiceCallOptions,
  ): Promise<AsyncIterable<ServiceEvent>> {
    return this.#events('PUT', `${at(name)}?windowMs=${windowMs}`, { signal, body: definition });
  }

  start(
    name: string,
    { windowMs, signal }: { windowMs: number } & ServiceCallOptions,
  ): Promise<AsyncIterable<ServiceEvent>> {
    return this.#events('POST', `${at(name)}/start?windowMs=${windowMs}`, { signal });
  }

  restart(
    name: string,
    { windowMs, signal }: { windowMs: number } & ServiceCallOptions,
  ): Promise<AsyncIterable<ServiceEvent>> {
    return this.#events('POST', `${at(name)}/restart?windowMs=${windowMs}`, { signal });
  }

  stop(
    name: string,
    { timeoutMs, signal }: { timeoutMs: number } & ServiceCallOptions,
  ): Promise<AsyncIterable<ServiceEvent>> {
    return this.#events('POST', `${at(name)}/stop?timeoutMs=${timeoutMs}`, { signal });
  }

  async signal(name: string, signalName: SignalName, { signal }: ServiceCallOptions): Promise<void> {
    await this.#whole('POST', `${at(name)}/signal`, { signal, body: { signal: signalName } });
  }

  logs(
    name: string,
    { lines, followMs, signal }: { lines: number; followMs: number } & ServiceCallOptions,
  ): Promise<AsyncIterable<ServiceEvent>> {
    return this.#events('GET', `${at(name)}/logs?lines=${lines}&followMs=${followMs}`, { signal });
  }

  async delete(name: string, options: ServiceCallOptions): Promise<void> {
    await this.#whole('DELETE', at(name), options);
  }

  #whole(method: string, path: string, options: { body?: unknown } & ServiceCallOptions): Promise<Buffer> {
    return withDeadline(
      `${method} services`,
      answerDeadlineMs,
      async (signal) => readAll(await this.#open(method, path, { ...options, signal }), signal),
      options.signal,
    );
  }

  async #events(
    method: string,
    path: string,
    options: { body?: unknown } & ServiceCallOptions,
  ): Promise<AsyncIterable<ServiceEvent>> {
    const stream = await withDeadline(
      `${method} services`,
      answerDeadlineMs,
      (signal) => this.#open(method, path, { ...options, signal }),
      options.signal,
    );
    return readEvents(stream, options.signal);
  }

  /** An answer whose status is good; its body is to be read. `signal` ends it. */
  async #open(
    method: string,
    path: string,
    { body, signal }: { body?: unknown } & ServiceCallOptions,
  ): Promise<http2.ClientHttp2Stream> {
    signal.throwIfAborted();
    const stream = openStream(this.#session(), method, `/v1/services${path}`, { endStream: body === undefined });
    // Whoever reads or waits hears of its close; the error adds nothing to that.
    stream.on('error', () => {});
    const cancel = (): void => stream.close(http2.constants.NGHTTP2_CANCEL);
    signal.addEventListener('abort', cancel, { once: true });
    if (body !== undefined) stream.end(JSON.stringify(body));
    try {
      const { ':status': status = 0 } = await responseOf(stream, 'during a request about services');
      if (status < 200 || status > 299) throw refusal(status, await readAll(stream, signal));
      return stream;
    } catch (error) {
      cancel();
      throw signal.aborted ? signal.reason : error;
    }
  }
}

/** The path of a service. */
function at(name: string): string {
  return `/${encodeURIComponent(name)}`;
}

async function readAll(stream: http2.ClientHttp2Stream, signal: AbortSignal): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxServicesAnswerBytes) throw agentFailed(`the guest's agent says too much about services`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw error instanceof SylphError ? error : agentFailed(`an answer about services broke: ${textOf(error)}`, error);
  }
  return Buffer.concat(chunks, bytes);
}

async function* readEvents(
  stream: http2.ClientHttp2Stream,
  signal: AbortSignal,
): AsyncGenerator<ServiceEvent, void, undefined> {
  const cancel = (): void => stream.close(http2.constants.NGHTTP2_CANCEL);
  signal.addEventListener('abort', cancel, { once: true });
  if (signal.aborted) cancel();
  try {
    const lines = new LineSplitter(maxServiceLineBytes);
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      for (const line of lines.push(chunk)) {
        const event = parseJson(guestServiceEvent, line, 'an event of a service');
        yield event;
        if (event.type === 'complete') return;
      }
    }
    throw agentFailed('the guest ended a stream about a service before its end');
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw error instanceof SylphError ? error : agentFailed('a stream about a service broke', error);
  } finally {
    signal.removeEventListener('abort', cancel);
    cancel();
  }
}

/** The error of an answer that is not good. */
function refusal(status: number, body: Buffer): SylphError {
  const said = guestServiceRefusal.safeParse(tryJson(body));
  if (!said.success) return agentFailed(`the guest's agent answered ${status} to a request about services`);
  const { code } = said.data;
  const text = cleanText(said.data.error, 1_024);
  if (status === 404 && code !== 'ESRCH') return tooOld('for services');
  if (status === 404)
    return new SylphError('service_not_found', text, { hint: 'GET …/services lists the services of a sprite.' });
  if (status === 400) return new SylphError('invalid_request', text);
  if (status === 409) return new SylphError('service_conflict', text);
  return agentFailed(text);
}

function tryJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    // A body that is not JSON says nothing worth showing; the status does.
    return undefined;
  }
}
