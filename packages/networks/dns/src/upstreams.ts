import fs from 'node:fs/promises';
import { isIP } from 'node:net';
import { ask, type Server } from './exchange.ts';
import { rcodes, type UpstreamReply } from './message.ts';

/** One server's time for one attempt. */
const attemptMs = 1_500;
/** How often the list is gone through for one question. */
const rounds = 2;
/** A server that failed is asked after the others for so long. */
const restMs = 30_000;
/** The host's own list is looked at again after so long. */
const rereadMs = 5_000;
/** Servers asked of a list, as the C library has it (resolv.conf(5): MAXNS), and some more. */
const maxServers = 6;

/** `ADDRESS[:PORT]`, IPv6 with a port in brackets. Throws `RangeError` on anything else. */
export function parseServer(text: string): Server {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+|[^:]*:[^:]*:.*))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const address = bracketed ?? plain ?? '';
  const number = port === undefined ? 53 : Number(port);
  if (isIP(address) === 0 || number < 1 || number > 65_535)
    throw new RangeError(
      `${text} is no name server: write ADDRESS or ADDRESS:PORT, an IPv6 address with a port as [ADDRESS]:PORT`,
    );
  return { address, port: number };
}

/** Name servers of a resolv.conf(5), in its order. Lines that say nothing of the kind are passed over. */
export function serversIn(resolvConf: string): Server[] {
  return resolvConf
    .split('\n')
    .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? '')
    .filter((address) => isIP(address) !== 0)
    .slice(0, maxServers)
    .map((address) => ({ address, port: 53 }));
}

/** The name servers asked for sprites: those configured, else those of the host, as they are then. */
export class Upstreams {
  readonly #configured: readonly Server[];
  readonly #resolvConf: string;
  #own: readonly Server[] = [];
  #readAt = Number.NEGATIVE_INFINITY;
  #modifiedMs: number | undefined;
  /** Monotonic time of the last failure, ms, of those configured or in use. */
  readonly #failedAt = new Map<string, number>();

  /** `configured` as of {@link parseServer}; throws `RangeError`. */
  constructor(configured: readonly string[], resolvConf: string) {
    this.#configured = configured.map(parseServer);
    this.#resolvConf = resolvConf;
  }

  /** Asks until a server knows: an answer with records, or that there are none. Rejects when none does in time. */
  async ask(name: string, type: string, signal: AbortSignal): Promise<UpstreamReply> {
    const servers = this.#inOrder(await this.#servers());
    let failure: unknown = new Error('there is no name server to ask');
    for (let round = 0; round < rounds; round++)
      for (const server of servers) {
        signal.throwIfAborted();
        try {
          const reply = await ask(server, name, type, AbortSignal.any([signal, AbortSignal.timeout(attemptMs)]));
          if (reply.rcode === rcodes.NOERROR || reply.rcode === rcodes.NXDOMAIN) {
            this.#failedAt.delete(keyOf(server));
            return reply;
          }
          failure = new Error(`name server ${server.address} answered with code ${reply.rcode}`);
        } catch (error) {
          failure = error;
          if (!signal.aborted) this.#failedAt.set(keyOf(server), performance.now());
        }
      }
    throw failure;
  }

  #inOrder(servers: readonly Server[]): Server[] {
    const failed = (server: Server): boolean =>
      performance.now() - (this.#failedAt.get(keyOf(server)) ?? Number.NEGATIVE_INFINITY) < restMs;
    return servers.toSorted((a, b) => Number(failed(a)) - Number(failed(b)));
  }

  async #servers(): Promise<readonly Server[]> {
    if (this.#configured.length > 0) return this.#configured;
    if (performance.now() - this.#readAt < rereadMs) return this.#own;
    this.#readAt = performance.now();
    try {
      const { mtimeMs } = await fs.stat(this.#resolvConf);
      if (mtimeMs !== this.#modifiedMs) {
        this.#own = serversIn(await fs.readFile(this.#resolvConf, 'utf8'));
        this.#modifiedMs = mtimeMs;
        this.#failedAt.clear();
      }
    } catch {
      // It is being replaced, or was never there: what was known holds until it can be read.
    }
    return this.#own;
  }
}

function keyOf({ address, port }: Server): string {
  return `${address} ${port}`;
}
