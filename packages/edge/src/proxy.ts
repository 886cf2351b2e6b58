import type { GuestChannel, SpriteLease } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import { AwakeSprite } from './awake-sprite.ts';
import type { ResolvedEdgeDeps } from './deps.ts';
import type { Found } from './directory.ts';
import { type Exchange, Exchanges } from './exchange.ts';
import { EdgeFailure } from './failure.ts';
import { cut, type ClientAnswer } from './answer.ts';
import { passAnswer, passBody, passInformation, stopReading } from './forward.ts';
import { answerOf, openGuestRequest, StaleConnection, type GuestAnswer } from './guest-request.ts';
import { requestHeaders, type RequestFacts } from './heads.ts';
import { LastTargets } from './last-targets.ts';
import { ProofWatch, type Proof } from './proof-watch.ts';
import { watchStall, watchStalledSocket } from './stall.ts';
import { Starts } from './starts.ts';
import { carry, carryRefusal, upgradeHeaders, type SocketClient } from './upgrade.ts';
import type { Visit } from './visit.ts';

/** A request that may enter its sprite. */
export interface Passage {
  visit: Visit;
  found: Found;
  known: boolean;
  dropAuthorization: boolean;
  proof: Proof;
  /** Fires when the client leaves. */
  signal: AbortSignal;
  hsts: string | undefined;
}

/** Methods that may be sent twice: nothing changes by the second (RFC 9110, section 9.2.2). */
const repeatable = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** Times a request is sent: over a connection that was kept, over a new one, and once more when the sprite went to sleep meanwhile. */
const maxAttempts = 3;

/** Carries requests to guests and answers back. */
export class Proxy implements Disposable {
  readonly #deps: ResolvedEdgeDeps;
  readonly #starts: Starts;
  readonly #exchanges = new Exchanges();
  readonly #watch: ProofWatch;
  readonly #last = new LastTargets();
  readonly #awake = new WeakMap<GuestChannel, AwakeSprite>();
  /** Requests and open connections of each sprite. */
  readonly #inFlight = new Map<string, number>();

  constructor(deps: ResolvedEdgeDeps) {
    this.#deps = deps;
    this.#starts = new Starts(deps);
    this.#watch = new ProofWatch(this.#exchanges, { log: deps.log, intervalMs: deps.limits.proofIntervalMs });
  }

  /** Exchanges under way. */
  get size(): number {
    return this.#exchanges.size;
  }

  /** Breaks off everything. */
  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
    this.#exchanges[Symbol.dispose]();
  }

  /** Carries a request and its answer. Rejects before the answer has begun with an `EdgeFailure`, or the reason of the signal. */
  async request(passage: Passage, answer: ClientAnswer): Promise<void> {
    const { request } = passage.visit;
    const body = bodyOf(request);
    const giveUp = (): void => cut(answer);
    using entered = this.#enter(passage, giveUp);
    const { exchange } = entered;
    watchStall(request, answer, { timeoutMs: this.#deps.limits.stallTimeoutMs, giveUp });
    const outcome = await this.#send(passage, entered, {
      body,
      unrepeatable: body !== undefined || !repeatable.has(request.method ?? ''),
      begin: (guest) => {
        passInformation(guest, answer);
        if (body === undefined) guest.end();
        else passBody(request, guest, exchange);
      },
    });
    if (outcome.kind === 'upgrade') {
      outcome.stream.destroy();
      throw new EdgeFailure('bad_http_answer', 'the sprite changed the protocol though nobody asked for it');
    }
    await passAnswer(outcome.message, answer, exchange, passage);
    if (body !== undefined) stopReading(request);
  }

  /** Carries a WebSocket's handshake, and its bytes when the guest agrees; else the guest's answer. Rejects as {@link request}. */
  async upgrade(passage: Passage, client: SocketClient): Promise<void> {
    const { stream } = client;
    const giveUp = (): void => void stream.destroy();
    using entered = this.#enter(passage, giveUp);
    const { exchange } = entered;
    watchStalledSocket(stream, { timeoutMs: this.#deps.limits.stallTimeoutMs, giveUp });
    const outcome = await this.#send(passage, entered, {
      body: undefined,
      unrepeatable: false,
      begin: (guest) => guest.end(),
      upgrade: true,
    });
    const agreed = outcome.kind === 'upgrade';
    client.answer(outcome.message, agreed);
    if (agreed) await carry(stream, outcome.stream, { client: client.head, guest: outcome.head }, exchange);
    else await carryRefusal(outcome.message, stream, exchange);
  }

  /** Counts a request among its sprite's. Throws when there are too many. */
  #enter({ found, proof }: Passage, giveUp: () => void): Entered {
    const { id } = found.view.row;
    const count = this.#inFlight.get(id) ?? 0;
    if (count >= this.#deps.limits.maxRequestsPerSprite)
      throw new EdgeFailure('rate_limited', 'the sprite has too many requests under way', {
        status: 503,
        retryAfterS: 1,
        hint: 'Try again in a moment.',
      });
    this.#inFlight.set(id, count + 1);
    const exchange: Exchange = {
      used: () => undefined,
      awaitsAnswer: false,
      proof,
      giveUp,
    };
    const watched = this.#exchanges.add(exchange);
    let lease: SpriteLease | undefined;
    return {
      exchange,
      hold: (taken) => {
        lease?.[Symbol.dispose]();
        lease = taken;
        exchange.used = () => taken.used();
      },
      [Symbol.dispose]: () => {
        watched[Symbol.dispose]();
        lease?.[Symbol.dispose]();
        const left = (this.#inFlight.get(id) ?? 1) - 1;
        if (left === 0) this.#inFlight.delete(id);
        else this.#inFlight.set(id, left);
      },
    };
  }

  /** Sends a request, and again where the guest cannot have seen it, or may see it twice. */
  async #send(passage: Passage, entered: Entered, sending: Sending): Promise<GuestAnswer> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#sendOnce(passage, entered, sending, attempt > 1);
      } catch (error) {
        const again = error instanceof NothingSent || (error instanceof StaleConnection && !sending.unrepeatable);
        if (again && attempt < maxAttempts) continue;
        if (error instanceof NothingSent) throw error.cause;
        if (!(error instanceof StaleConnection)) throw error;
        throw new EdgeFailure('bad_http_answer', 'the server in the sprite closed the connection without an answer', {
          cause: error,
        });
      }
    }
  }

  async #sendOnce(
    passage: Passage,
    { exchange, hold }: Entered,
    sending: Sending,
    fresh: boolean,
  ): Promise<GuestAnswer> {
    const { visit, found, known, signal } = passage;
    const { limits } = this.#deps;
    const lease = await this.#starts.use(found.view, { known, signal });
    hold(lease);
    exchange.awaitsAnswer = true;
    try {
      const sprite = this.#awakeSprite(lease);
      const { unrepeatable } = sending;
      const way = await sprite.way(found.port, { unrepeatable, fresh, signal }).catch(rethrowUnsent);
      const headers = requestHeaders(visit.request.rawHeaders, factsOf(passage, sending.body));
      if (sending.upgrade === true) headers.push(...upgradeHeaders(visit.request));
      const guest = openGuestRequest(
        way,
        { method: sending.upgrade === true ? 'GET' : (visit.request.method ?? 'GET'), path: visit.path, headers },
        limits.maxAnswerHeaderBytes,
      );
      const answer = answerOf(guest, { timeoutMs: limits.answerTimeoutMs, signal });
      // A connection that was made for it, where the pool had one after all.
      guest.once('socket', (socket) => {
        if (way.dialled !== undefined && way.dialled !== (socket as unknown)) way.dialled.destroy();
      });
      sending.begin(guest);
      return await answer;
    } finally {
      exchange.awaitsAnswer = false;
      exchange.used();
    }
  }

  #awakeSprite({ channel, view }: SpriteLease): AwakeSprite {
    let sprite = this.#awake.get(channel);
    if (sprite === undefined) {
      sprite = new AwakeSprite(channel, view.row.id, this.#deps.limits, this.#last);
      this.#awake.set(channel, sprite);
    }
    return sprite;
  }
}

/** A request that counts among its sprite's. */
interface Entered extends Disposable {
  exchange: Exchange;
  /** Keeps a lease until the end, in place of the one before. */
  hold: (lease: SpriteLease) => void;
}

/** What goes to the guest beyond the head. */
interface Sending {
  body: RequestFacts['body'];
  unrepeatable: boolean;
  begin: (guest: ReturnType<typeof openGuestRequest>) => void;
  upgrade?: boolean;
}

function factsOf({ visit, dropAuthorization }: Passage, body: RequestFacts['body']): RequestFacts {
  const { host, client, request } = visit;
  return {
    host,
    clientAddress: client.address,
    proxied: client.proxied,
    scheme: client.scheme,
    httpVersion: request.httpVersion,
    dropAuthorization,
    body,
  };
}

/** A sprite that has just gone to sleep has ended its channel: it is woken again. */
function rethrowUnsent(error: unknown): never {
  if (error instanceof SylphError && error.code === 'agent_failed') throw new NothingSent('', { cause: error });
  throw error;
}

/** The channel had ended before anything was sent. */
class NothingSent extends Error {}

/** How a client frames its body, as the server's parser understood it. */
function bodyOf(request: Visit['request']): RequestFacts['body'] {
  const { headers } = request;
  if (headers['transfer-encoding'] !== undefined) return 'chunked';
  if (headers['content-length'] !== undefined) return headers['content-length'];
  // HTTP/2 may leave the length open.
  return 'stream' in request && !request.stream.endAfterHeaders ? 'chunked' : undefined;
}
