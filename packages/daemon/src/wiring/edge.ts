import path from 'node:path';
import { edgeKey, SpriteUrls, startEdge, startRedirect, type EdgeDeps, type RunningEdge } from '@sylph/edge';
import type { Repository } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import { authenticate, isTokenValid } from '../auth/tokens.ts';
import { parseListen, type Config } from '../config.ts';

/** Expired links are dropped so often. */
const pruneIntervalMs = 3_600_000;

/** The edge as configured. URLs can be made before it listens; dispose it to end it. */
export class EdgeService implements AsyncDisposable {
  readonly urls: SpriteUrls;
  /** Below which sprites have their URLs. */
  readonly domain: string;
  readonly #config: Config;
  readonly #stack = new AsyncDisposableStack();
  #running: RunningEdge | undefined;

  constructor(config: Config) {
    this.#config = config;
    this.domain = config.domain.toLowerCase();
    this.urls = new SpriteUrls({
      template: config['edge-url'],
      domain: this.domain,
      tls: config['tls-cert'] !== '',
      port: () => this.#port(),
    });
  }

  /** Starts to serve, unless `edge-listen` is `none`. Rejects when it cannot, saying why. */
  async open(deps: Pick<EdgeDeps, 'service' | 'ready' | 'log'> & { repository: Repository }): Promise<void> {
    const { 'tls-cert': cert, 'tls-key': key, 'edge-listen': at, 'edge-redirect-listen': redirectAt } = this.#config;
    if ((cert === '') !== (key === ''))
      throw new SylphError('invalid_request', 'tls-cert and tls-key are needed together');
    if (redirectAt !== '' && cert === '')
      throw new SylphError('invalid_request', 'edge-redirect-listen needs tls-cert and tls-key');
    if (at === 'none') return;
    const { repository } = deps;
    const running = await listening(
      'edge-listen',
      at,
      startEdge(
        {
          ...deps,
          authenticate: (token) => authenticate(repository, token),
          isTokenValid: (id) => isTokenValid(repository, id),
          urls: this.urls,
          domain: this.domain,
          key: await edgeKey(path.join(this.#config['data-dir'], 'edge.key')),
        },
        parseListen(at),
        cert === '' ? undefined : { cert, key },
      ),
    );
    this.#running = running;
    this.#stack.defer(() => running.close());
    if (redirectAt !== '') {
      const starting = startRedirect(parseListen(redirectAt), () => running.address.port);
      const redirect = await listening('edge-redirect-listen', redirectAt, starting);
      this.#stack.defer(() => redirect.close());
    }
    const prune = setInterval(() => {
      repository.edge
        .pruneLinks(new Date().toISOString())
        .catch((error: unknown) => deps.log.warn({ err: error }, 'expired links were not removed'));
    }, pruneIntervalMs);
    prune.unref();
    this.#stack.defer(() => clearInterval(prune));
    deps.log.info({ address: running.address, sprites: this.urls.of('NAME', 'SUFFIX') }, 'serving sprite URLs');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }

  #port(): number | undefined {
    const at = this.#config['edge-listen'];
    if (at === 'none') return undefined;
    return this.#running?.address.port ?? parseListen(at).port;
  }
}

/** Says which setting is meant by a failure to start. */
async function listening(setting: string, at: string, starting: Promise<RunningEdge>): Promise<RunningEdge> {
  try {
    return await starting;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new SylphError('host_unfit', `sprite URLs cannot be served at ${at}: ${reason}`, {
      hint: `Change ${setting}: another address, or none.`,
      cause: error,
    });
  }
}
