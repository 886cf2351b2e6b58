import { createHash, randomBytes } from 'node:crypto';
import type { Attempts } from './attempts.ts';
import { ownCookies, setCookie } from './cookies.ts';
import type { ResolvedEdgeDeps } from './deps.ts';
import type { Directory, Found } from './directory.ts';
import { EdgeFailure } from './failure.ts';
import { readForm } from './form.ts';
import { loginLabel, parseAuthority } from './host.ts';
import { loginPage, redirect, type Page } from './pages.ts';
import type { Signer } from './signed.ts';
import type { Visit } from './visit.ts';

/** How long somebody may look for a token. */
const wayMs = 15 * 60_000;
/** From the login page back to the sprite. */
const backMs = 60_000;
/** A login lasts so long, unless its token goes first. */
const loginMs = 24 * 3_600_000;
/** A longer path is not remembered over a login. */
const maxPathLength = 1_024;

/**
 * The login with a token. Tokens are typed at a host of the edge's own and never at a sprite's, whose pages and service workers could read them there:
 * sprite → login page (a signed note of where it began, and a cookie that names the browser) → sprite (a signed note that the token was right) → a cookie for this sprite.
 */
export class Login {
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

  /** To the login page; the same for sprites that do not exist. */
  begin({ client, host, authority, place, path }: Visit): Page {
    const nonce = randomBytes(16).toString('base64url');
    const way = this.#signer.sign({
      kind: 'way',
      origin: `${client.scheme}://${host}`,
      to: path.length > maxPathLength ? '/' : path,
      browser: hash(nonce),
      until: Date.now() + wayMs,
    });
    // Below the domain the login page is reached as the sprite was: through the same tunnel or proxy.
    const port = authority.port === null ? '' : `:${authority.port}`;
    const login =
      place.kind === 'sprite'
        ? `${client.scheme}://${loginLabel}.${this.#deps.domain}${port}`
        : this.#deps.urls.login();
    const secure = client.scheme === 'https';
    return redirect(`${login}/.sylph/login?for=${way}`, [
      setCookie('sylph-edge-login', nonce, { secure, maxAgeS: wayMs / 1000 }),
    ]);
  }

  /** A request to the login page's host. */
  async page({ request, client, host, path }: Visit): Promise<Page> {
    const url = new URL(path, 'http://login');
    if (url.pathname !== '/.sylph/login')
      throw new EdgeFailure('not_found', 'there is nothing here but the login of sprites', {
        hint: 'Open the URL of a sprite.',
      });
    if (request.method === 'GET' || request.method === 'HEAD') {
      const way = url.searchParams.get('for') ?? '';
      return loginPage(way, { formsTo: this.#way(way).origin });
    }
    if (request.method !== 'POST') throw new EdgeFailure('method_not_allowed', 'this is a page and a form');
    const form = await readForm(request, host);
    const way = form.get('for') ?? '';
    const { origin, to, browser } = this.#way(way);
    const retryAfterS = this.#attempts.retryAfterS(client.address);
    if (retryAfterS > 0) throw new EdgeFailure('rate_limited', 'there were too many wrong tokens', { retryAfterS });
    const found = await this.#spriteAt(origin);
    const holder = await this.#deps.authenticate((form.get('token') ?? '').trim());
    if (holder === undefined || holder.org.id !== found?.view.org.id) {
      if (holder === undefined) this.#attempts.wrong(client.address);
      return loginPage(way, { problem: 'This token does not open this sprite.', status: 401, formsTo: origin });
    }
    const until = Date.now() + backMs;
    const back = this.#signer.sign({ kind: 'back', sprite: found.view.row.id, id: holder.tokenId, to, browser, until });
    return redirect(`${origin}/.sylph/enter?code=${back}`, [], 303);
  }

  /** Back at the sprite. */
  enter({ request, client, host, path }: Visit, found: Found | undefined): Page {
    const code = new URL(path, 'http://sprite').searchParams.get('code') ?? '';
    const back = this.#signer.read('back', code);
    const secure = client.scheme === 'https';
    const nonces = ownCookies(request.headers.cookie, 'sylph-edge-login', secure);
    if (
      back === undefined ||
      back.sprite !== found?.view.row.id ||
      !nonces.some((nonce) => hash(nonce) === back.browser)
    )
      throw new EdgeFailure('unauthenticated', 'this login is over or was begun in another browser', {
        status: 403,
        hint: 'Open the URL of the sprite again.',
      });
    const ticket = this.#signer.sign({ kind: 'token', sprite: back.sprite, id: back.id, until: Date.now() + loginMs });
    // A whole URL: a path of two slashes would name another host.
    return redirect(`${client.scheme}://${host}${back.to}`, [
      setCookie('sylph-edge', ticket, { secure, maxAgeS: loginMs / 1000 }),
      setCookie('sylph-edge-login', '', { secure, maxAgeS: 0 }),
    ]);
  }

  #way(signed: string) {
    const way = this.#signer.read('way', signed);
    if (way === undefined)
      throw new EdgeFailure('invalid_request', 'this login is over', { hint: 'Open the URL of the sprite again.' });
    return way;
  }

  async #spriteAt(origin: string): Promise<Found | undefined> {
    const authority = parseAuthority(origin.replace(/^https?:\/\//, ''));
    return authority && this.#directory.find(this.#directory.placeOf(authority.hostname));
  }
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
