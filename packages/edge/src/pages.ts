import { toErrorBody } from '@sylph/model';
import type { ClientRequest } from './client.ts';
import type { EdgeFailure } from './failure.ts';

/** A whole answer of the edge itself. Names are lower case. */
export interface Page {
  status: number;
  headers: Record<string, string | string[]>;
  body: string;
}

/** Nothing is loaded, framed or run; forms go back to the edge, and on to where `formsTo` names. */
function safety(formsTo = ''): Record<string, string> {
  return {
    'content-security-policy':
      `default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' ${formsTo}`.trim(),
    'x-frame-options': 'DENY',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'same-origin',
    'cache-control': 'no-store',
  };
}

const style =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1rem;color:#222;background:#fff}' +
  'h1{font-size:1.3rem}input{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;margin:.5rem 0}' +
  'button{font:inherit;padding:.5rem 1.2rem}.bad{color:#b00020}small{color:#666}' +
  '@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}.bad{color:#ff8a80}small{color:#999}}';

/** Whether a person looks at the answer. */
export function wantsPage(request: ClientRequest): boolean {
  const accept = request.headers.accept ?? '';
  return accept.includes('text/html') && !accept.trimStart().startsWith('application/json');
}

/** A failure: a page for people, JSON for programs. */
export function failurePage(failure: EdgeFailure, asPage: boolean): Page {
  const headers: Page['headers'] = { ...safety() };
  if (failure.retryAfterS !== undefined) headers['retry-after'] = String(failure.retryAfterS);
  if (failure.answerStatus === 401) headers['www-authenticate'] = 'Bearer realm="sylph"';
  if (!asPage)
    return {
      status: failure.answerStatus,
      headers: { ...headers, 'content-type': 'application/json; charset=utf-8' },
      body: `${JSON.stringify(toErrorBody(failure))}\n`,
    };
  const body = `<p>${escaped(sentence(failure.message))}</p><p><small>${escaped(failure.hint)}</small></p>`;
  return htmlPage(failure.answerStatus, titles[failure.answerStatus] ?? 'This did not work', body, headers);
}

/** Asks for a token. `problem`: what was wrong with the last one. */
export function loginPage(to: string, options: { problem?: string; status?: number; formsTo: string }): Page {
  const body =
    `${problemOf(options.problem)}<form method="post" action="/.sylph/login"><input type="hidden" name="for" value="${escaped(to)}">` +
    '<label for="token">API token of the organization</label><input id="token" name="token" type="password" autocomplete="current-password" required autofocus>' +
    '<button>Enter</button></form><p><small>sylphd token create makes a token.</small></p>';
  return htmlPage(options.status ?? 200, 'This sprite is private', body, safety(options.formsTo));
}

/** Asks for the password of a preview link, at the link's own address. */
export function passwordPage(options: { problem?: string; status?: number }): Page {
  const body =
    `${problemOf(options.problem)}<form method="post"><label for="password">Password of this link</label>` +
    '<input id="password" name="password" type="password" autocomplete="off" required autofocus><button>Open</button></form>';
  return htmlPage(options.status ?? 200, 'This preview asks for a password', body, safety());
}

/** Sends a browser elsewhere. */
export function redirect(location: string, cookies: string[] = [], status = 302): Page {
  const headers: Page['headers'] = { ...safety(), location };
  if (cookies.length > 0) headers['set-cookie'] = cookies;
  return { status, headers, body: '' };
}

const titles: Record<number, string> = {
  400: 'This request makes no sense',
  401: 'This sprite is private',
  404: 'There is no sprite here',
  405: 'This is not possible here',
  429: 'Too many attempts',
  502: 'The sprite did not answer',
  503: 'The sprite is not available',
  504: 'The sprite did not answer in time',
};

function htmlPage(status: number, title: string, body: string, headers: Page['headers']): Page {
  return {
    status,
    headers: { ...headers, 'content-type': 'text/html; charset=utf-8' },
    body: `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(title)}</title><style>${style}</style></head><body><h1>${escaped(title)}</h1>${body}</body></html>\n`,
  };
}

function problemOf(problem: string | undefined): string {
  return problem === undefined ? '' : `<p class="bad" role="alert">${escaped(problem)}</p>`;
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
