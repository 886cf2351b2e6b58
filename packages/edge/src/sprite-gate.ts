import type { Access } from './access.ts';
import type { Directory, Found } from './directory.ts';
import { EdgeFailure } from './failure.ts';
import { type Links } from './links.ts';
import type { Login } from './login.ts';
import { wantsPage, type Page } from './pages.ts';
import type { Proof } from './proof-watch.ts';
import type { Visit } from './visit.ts';

/** Paths below this are the edge's own on every host; they never reach a guest. */
const reserved = '/.sylph';

/** What comes of a request before a guest hears of it. */
export type Admission = { page: Page } | { found: Found; known: boolean; dropAuthorization: boolean; proof: Proof };

/** Decides about each request: a page of the edge's own, a refusal, or a sprite that may be entered. */
export class SpriteGate {
  readonly #directory: Directory;
  readonly #access: Access;
  readonly #login: Login;
  readonly #links: Links;

  constructor(parts: { directory: Directory; access: Access; login: Login; links: Links }) {
    this.#directory = parts.directory;
    this.#access = parts.access;
    this.#login = parts.login;
    this.#links = parts.links;
  }

  async admit(visit: Visit): Promise<Admission> {
    const { place, request, client, path } = visit;
    if (place.kind === 'login') return { page: await this.#login.page(visit) };
    const found = await this.#directory.find(place);
    if (place.kind === 'nothing' || (place.kind === 'domain' && found === undefined))
      throw new EdgeFailure('not_found', 'no sprite is reached under this name', {
        hint: 'sylph url shows the URL of a sprite.',
      });
    const own = ownPath(path);
    if (own !== undefined) return { page: await this.#ownPage(own, visit, found) };
    const verdict = await this.#access.judge(request, client, found);
    if (verdict.may && found !== undefined) return { found, ...verdict };
    if (!verdict.may && verdict.retryAfterS !== undefined)
      throw new EdgeFailure('rate_limited', 'there were too many wrong tokens', { retryAfterS: verdict.retryAfterS });
    if (
      (request.method === 'GET' || request.method === 'HEAD') &&
      wantsPage(request) &&
      request.headers.upgrade === undefined
    )
      return { page: this.#login.begin(visit) };
    throw new EdgeFailure('unauthenticated', 'a token of the organization is needed here');
  }

  async #ownPage(own: string, visit: Visit, found: Found | undefined): Promise<Page> {
    if (own.startsWith('/link/')) return this.#links.open(visit, found);
    if (own === '/enter') return this.#login.enter(visit, found);
    throw new EdgeFailure('not_found', 'there is nothing at this path');
  }
}

/** The part of a path after the reserved prefix; undefined: it is the guest's. */
function ownPath(path: string): string | undefined {
  const plain = path.split('?', 1)[0] as string;
  return plain === reserved || plain.startsWith(`${reserved}/`) ? plain.slice(reserved.length) : undefined;
}
