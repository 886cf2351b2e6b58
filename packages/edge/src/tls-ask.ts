import { isLoopback, plainAddress, type ClientRequest } from './client.ts';
import type { Directory } from './directory.ts';
import { parseAuthority } from './host.ts';
import type { Page } from './pages.ts';

const askPath = '/.sylph/tls-ask';

/** Whether a program of this host asks, by an address, for whom a certificate may be made. What a proxy passes on from outside has a name and says whom it is for. */
export function isAsk({ url = '', headers, socket }: ClientRequest): boolean {
  if (url.split('?', 1)[0] !== askPath || headers['x-forwarded-for'] !== undefined) return false;
  const hostname = parseAuthority(headers.host ?? '')?.hostname ?? '';
  return (
    isLoopback(plainAddress(socket.remoteAddress ?? '')) &&
    (isLoopback(hostname.replace(/^\[|\]$/g, '')) || hostname === 'localhost')
  );
}

/** 200: the name is ours. 404: it is not. */
export async function answerAsk({ url = '' }: ClientRequest, directory: Directory): Promise<Page> {
  const name = parseAuthority(new URL(url, 'http://edge').searchParams.get('domain') ?? '');
  const isOurs = name !== undefined && name.port === null && (await directory.isOurs(name.hostname));
  return { status: isOurs ? 200 : 404, headers: { 'content-type': 'text/plain' }, body: '' };
}
