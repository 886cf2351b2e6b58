import type { IncomingHttpHeaders } from 'node:http';

/**
 * Tokens of WebSockets in pages, whose browsers send no headers of theirs but do name subprotocols (RFC 6455, section 1.9): `sylph` and `bearer.<token as base64url>`.
 * The answer names `sylph`, and the token in no case.
 */
const ours = 'sylph';
const bearer = 'bearer.';

/** The token among the subprotocols of an upgrade; undefined when there is none or it is malformed. */
export function offeredToken(headers: IncomingHttpHeaders): string | undefined {
  if (headers.upgrade?.toLowerCase() !== 'websocket') return undefined;
  const offers = (headers['sec-websocket-protocol'] ?? '').split(',').map((offer) => offer.trim());
  if (!offers.includes(ours)) return undefined;
  const tokens = offers.filter((offer) => offer.startsWith(bearer));
  const text = tokens[0]?.slice(bearer.length) ?? '';
  if (tokens.length !== 1 || !/^[\w-]+$/.test(text)) return undefined;
  const token = Buffer.from(text, 'base64url').toString();
  return /^\S+$/.test(token) ? token : undefined;
}

/** The subprotocol an answer names, false for none. Clients that offer others get their first, as they expect. */
export function chosenProtocol(offers: ReadonlySet<string>): string | false {
  if (offers.has(ours)) return ours;
  for (const offer of offers) if (!offer.startsWith(bearer)) return offer;
  return false;
}
