import type { SpriteView } from '@sylph/engine';
import type { Attempts } from './attempts.ts';
import type { Client, ClientRequest } from './client.ts';
import { ownCookies } from './cookies.ts';
import type { ResolvedEdgeDeps } from './deps.ts';
import type { Directory, Found } from './directory.ts';
import { parseAuthority } from './host.ts';
import { linkStands } from './links.ts';
import type { Proof } from './proof-watch.ts';
import type { Signer } from './signed.ts';

/** Whether somebody may enter. */
export type Verdict =
  | {
      may: true;
      /** Somebody gave proof, rather than that everybody may. */
      known: boolean;
      /** The Authorization header was for the edge: the guest does not get it. */
      dropAuthorization: boolean;
      proof: Proof;
    }
  | { may: false; /** Too many wrong tokens: wait so long. */ retryAfterS?: number };

/** Decides who may enter a sprite. What is unknown and what is forbidden end alike. */
export class Access {
  readonly #deps: ResolvedEdgeDeps;
  readonly #signer: Signer;
  readonly #attempts: Attempts;
  readonly #directory: Directory;

  constructor(deps: ResolvedEdgeDeps, parts: { signer: Signer; attempts: Attempts; directory: Directory }) {
    this.#deps = deps;
    this.#signer = parts.signer;
    this.#attempts = parts.attempts;
    this.#directory = parts.directory;
  }

  async judge(request: ClientRequest, client: Client, found: Found | undefined): Promise<Verdict> {
    if (found?.view.row.urlAuth === 'public')
      return { may: true, known: false, dropAuthorization: false, proof: this.#publicProof(found.view) };
    const [, token] = /^bearer +(\S+) *$/i.exec(request.headers.authorization ?? '') ?? [];
    const byCookie = found && (await this.#cookieProof(request, client, found));
    if (byCookie !== undefined) {
      // The application behind may know tokens of its own; one of this server is not for it.
      const dropAuthorization = token !== undefined && token.split('/').length === 4;
      return { may: true, known: true, dropAuthorization, proof: byCookie };
    }
    if (token === undefined) return { may: false };
    const holder = await this.#deps.authenticate(token);
    if (holder !== undefined && holder.org.id === found?.view.org.id)
      return { may: true, known: true, dropAuthorization: true, proof: this.#tokenProof(holder.tokenId) };
    if (holder !== undefined) return { may: false };
    const retryAfterS = this.#attempts.retryAfterS(client.address);
    this.#attempts.wrong(client.address);
    return retryAfterS === 0 ? { may: false } : { may: false, retryAfterS };
  }

  async #cookieProof(request: ClientRequest, client: Client, { view, port }: Found): Promise<Proof | undefined> {
    const values = ownCookies(request.headers.cookie, 'sylph-edge', client.scheme === 'https');
    if (values.length === 0 || !(await this.#isOwnDoing(request, view))) return undefined;
    for (const value of values) {
      const token = this.#signer.read('token', value);
      if (token?.sprite === view.row.id) {
        const proof = this.#tokenProof(token.id, token.until);
        if (await proof.stands()) return proof;
      }
      const link = this.#signer.read('link', value);
      if (link?.sprite === view.row.id) {
        const proof = this.#linkProof(link, view, port);
        if (await proof.stands()) return proof;
      }
    }
    return undefined;
  }

  #publicProof({ org, row: { id, name } }: SpriteView): Proof {
    const stands = async (): Promise<boolean> => {
      const row = (await this.#directory.view(org, name))?.row;
      return row?.id === id && row.urlAuth === 'public';
    };
    return { key: `public ${id}`, stands };
  }

  #tokenProof(id: string, until = Number.POSITIVE_INFINITY): Proof {
    const stands = async (): Promise<boolean> => until > Date.now() && (await this.#deps.isTokenValid(id));
    return { key: `token ${id} ${until}`, stands };
  }

  #linkProof({ id, until }: { id: string; until: number }, view: SpriteView, port: number | null): Proof {
    const stands = async (): Promise<boolean> => until > Date.now() && (await this.#opens(id, view, port));
    return { key: `link ${id} ${port} ${until}`, stands };
  }

  /** Whether a link still stands, and for this port. */
  async #opens(id: string, { row }: SpriteView, port: number | null): Promise<boolean> {
    const link = await this.#deps.repository.edge.link(id);
    return link !== undefined && link.spriteId === row.id && link.port === port && linkStands(link);
  }

  /**
   * Whether the page that causes a request may use the cookie: one of the same sprite, or the person who follows a link. Hosts of other sprites are of the same site, so SameSite does not keep their pages from sending it.
   */
  async #isOwnDoing({ headers, method }: ClientRequest, view: SpriteView): Promise<boolean> {
    const navigates =
      (method === 'GET' || method === 'HEAD') &&
      headers['sec-fetch-mode'] === 'navigate' &&
      headers['sec-fetch-dest'] === 'document';
    if (navigates) return true;
    const { origin } = headers;
    if (origin !== undefined) return this.#isOf(origin, view);
    const from = headers['sec-fetch-site'];
    return from === undefined || from === 'same-origin' || from === 'none';
  }

  async #isOf(origin: string, view: SpriteView): Promise<boolean> {
    const [, host = ''] = /^https?:\/\/(.+)$/.exec(origin) ?? [];
    const authority = parseAuthority(host);
    if (authority === undefined) return false;
    const found = await this.#directory.find(this.#directory.placeOf(authority.hostname));
    return found?.view.row.id === view.row.id;
  }
}
