import { createHash, randomBytes, randomUUID } from 'node:crypto';
import http from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import type net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { LinkRow, OrgRow, Repository } from '@sylph/engine';
import { openSqliteRepository } from '@sylph/store-sqlite';
import type { TlsFiles } from '../certificate.ts';
import type { EdgeDeps, TokenHolder } from '../deps.ts';
import { hashLinkSecret, linkPath } from '../links.ts';
import { startEdge, type RunningEdge } from '../listen.ts';
import { hashPassword } from '../passwords.ts';
import { SpriteUrls } from '../urls.ts';
import { FakeSprites, type FakeSprite } from './fake-sprites.ts';

/** Domain of the sprites of tests. */
export const domain = 'sprites.localhost';

/** An edge on a port of its own, over sprites without VMs and a real database. Dispose it. */
export class EdgeFixture implements AsyncDisposable {
  readonly sprites: FakeSprites;
  readonly repository: Repository;
  readonly org: OrgRow;
  readonly port: number;
  readonly dir: string;
  /** Everything that was logged. */
  readonly log: string[];
  readonly #edge: RunningEdge;
  readonly #tokens: Map<string, TokenHolder>;
  readonly #servers: http.Server[] = [];

  private constructor(parts: {
    sprites: FakeSprites;
    repository: Repository;
    org: OrgRow;
    port: number;
    dir: string;
    log: string[];
    edge: RunningEdge;
    tokens: Map<string, TokenHolder>;
  }) {
    this.sprites = parts.sprites;
    this.repository = parts.repository;
    this.org = parts.org;
    this.port = parts.port;
    this.dir = parts.dir;
    this.log = parts.log;
    this.#edge = parts.edge;
    this.#tokens = parts.tokens;
  }

  static async open(
    options: Pick<EdgeDeps, 'limits' | 'trusts'> & { tls?: (dir: string) => Promise<TlsFiles>; port?: number } = {},
  ): Promise<EdgeFixture> {
    const dir = await mkdtemp(path.join(tmpdir(), 'sylph-edge-'));
    const repository = openSqliteRepository(path.join(dir, 'sylph.db'));
    const org = await repository.ensureOrg('acme');
    const sprites = new FakeSprites();
    const tokens = new Map<string, TokenHolder>();
    const log: string[] = [];
    const note = (fields: object, message: string): void => {
      const { err } = fields as { err?: Error };
      log.push(`${message} ${err?.stack ?? ''} ${(err?.cause as Error | undefined)?.stack ?? ''}`);
    };
    const logger = { debug: note, info: note, warn: note, error: note, child: () => logger };
    let port = 0;
    const tls = await options.tls?.(dir);
    const edge = await startEdge(
      {
        service: sprites,
        repository: {
          org: (id) => repository.org(id),
          orgBySuffix: (suffix) => repository.orgBySuffix(suffix),
          sprite: async (id) => [...sprites.all.values()].find((sprite) => sprite.row.id === id)?.row,
          edge: repository.edge,
        },
        authenticate: async (token) => tokens.get(token),
        isTokenValid: async (id) => [...tokens.values()].some(({ tokenId }) => tokenId === id),
        urls: new SpriteUrls({ template: '', domain, tls: tls !== undefined, port: () => port }),
        domain,
        key: randomBytes(32),
        ready: () => true,
        log: logger,
        ...(options.limits === undefined ? {} : { limits: options.limits }),
        ...(options.trusts === undefined ? {} : { trusts: options.trusts }),
      },
      { host: '127.0.0.1', port: options.port ?? 0 },
      tls,
    );
    port = edge.address.port;
    return new EdgeFixture({ sprites, repository, org, port, dir, log, edge, tokens });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#edge.close();
    for (const server of this.#servers) {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    }
    await this.repository[Symbol.asyncDispose]();
    await rm(this.dir, { recursive: true });
  }

  close(): Promise<void> {
    return this.#edge.close();
  }

  /** A sprite with an HTTP server on a port. */
  async sprite(
    name: string,
    serve: http.RequestListener,
    options: { auth?: 'sprite' | 'public'; port?: number } = {},
  ): Promise<FakeSprite> {
    const sprite = this.sprites.add(this.org, name, options.auth ?? 'public');
    sprite.ports.set(options.port ?? 8080, await this.serve(serve));
    return sprite;
  }

  /** An HTTP server on this machine; its port. */
  async serve(listener: http.RequestListener): Promise<number> {
    const server = http.createServer(listener);
    return this.listen(server);
  }

  async listen(server: http.Server): Promise<number> {
    this.#servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as net.AddressInfo).port;
  }

  /** A token of the organization, or of another. */
  token(org: OrgRow = this.org): string {
    const tokenId = randomUUID();
    const token = `${org.slug}/${org.id}/${tokenId}/${randomBytes(8).toString('hex')}`;
    this.#tokens.set(token, { org, tokenId });
    return token;
  }

  revoke(token: string): void {
    this.#tokens.delete(token);
  }

  /** A preview link; its path. The sprite's row is made for it, since links go with sprites. */
  async link(
    sprite: FakeSprite,
    options: { port?: number; password?: string; expiresAt?: string } = {},
  ): Promise<{ id: string; path: string }> {
    await this.#insertRow(sprite);
    const secret = randomBytes(16).toString('base64url');
    const row: LinkRow = {
      id: randomUUID(),
      spriteId: sprite.row.id,
      secretHash: hashLinkSecret(secret),
      port: options.port ?? null,
      passwordHash: options.password === undefined ? null : await hashPassword(options.password),
      description: '',
      createdAt: new Date().toISOString(),
      expiresAt: options.expiresAt ?? null,
    };
    await this.repository.edge.insertLink(row);
    return { id: row.id, path: linkPath(row.id, secret) };
  }

  async domain(sprite: FakeSprite, name: string): Promise<void> {
    await this.#insertRow(sprite);
    await this.repository.edge.insertDomain({
      domain: name,
      spriteId: sprite.row.id,
      createdAt: new Date().toISOString(),
    });
  }

  /** Host header of a sprite, or of one of its ports. */
  host(name: string, port?: number): string {
    return `${port === undefined ? '' : `${port}--`}${name}-${this.org.urlSuffix}.${domain}:${this.port}`;
  }

  /** A request and its whole answer. */
  fetch(
    host: string,
    path = '/',
    options: { method?: string; headers?: http.OutgoingHttpHeaders; body?: string | Buffer } = {},
  ): Promise<FetchedAnswer> {
    return new Promise((resolve, reject) => {
      const { method = 'GET', headers, body } = options;
      const request = http.request(
        { host: '127.0.0.1', port: this.port, method, path, headers: { ...headers, host }, agent: false },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const bytes = Buffer.concat(chunks);
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              trailers: response.trailers,
              body: bytes.toString(),
              hash: createHash('sha256').update(bytes).digest('hex'),
            });
          });
        },
      );
      request.on('error', reject);
      request.end(body);
    });
  }

  async #insertRow({ row }: FakeSprite): Promise<void> {
    if (await this.repository.sprite(row.id)) return;
    const { uid: _uid, ...rest } = row;
    await this.repository.insertSprites([rest], row.uid);
  }
}

/** An answer that has come whole. */
export interface FetchedAnswer {
  status: number;
  headers: http.IncomingHttpHeaders;
  trailers: NodeJS.Dict<string>;
  body: string;
  hash: string;
}
