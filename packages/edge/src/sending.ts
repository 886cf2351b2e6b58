import type { Writable } from 'node:stream';
import { STATUS_CODES } from 'node:http';
import { writeHead, type ClientAnswer } from './answer.ts';
import { headText, type RawHeaders } from './heads.ts';
import type { Page } from './pages.ts';

/** Sends a whole answer. `hsts`: the header's value where the connection is TLS of ours. */
export function sendPage(
  answer: ClientAnswer,
  page: Page,
  { head, hsts }: { head: boolean; hsts: string | undefined },
): void {
  if (answer.headersSent || answer.destroyed) return;
  writeHead(answer, page.status, STATUS_CODES[page.status] ?? '', headersOf(page, hsts));
  answer.end(head ? '' : page.body);
}

/** Sends a whole answer over the bare connection of a refused upgrade, and ends it. */
export function sendRawPage(socket: Writable, page: Page, hsts: string | undefined): void {
  const headers = [...headersOf(page, hsts), 'connection', 'close'];
  socket.end(headText(page.status, STATUS_CODES[page.status] ?? '', headers) + page.body);
}

function headersOf({ headers, body }: Page, hsts: string | undefined): RawHeaders {
  const own: RawHeaders = [];
  for (const [name, value] of Object.entries(headers)) for (const each of [value].flat()) own.push(name, each);
  own.push('content-length', String(Buffer.byteLength(body)));
  if (hsts !== undefined) own.push('strict-transport-security', hsts);
  return own;
}
