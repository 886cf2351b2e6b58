import * as z from 'zod';

const hostLabel = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i;

/** Whether a text is a name of the domain name system, at most 253 characters, as hosts files may have it too. */
function isHostName(text: string): boolean {
  const labels = text.replace(/\.$/, '').split('.');
  // A last label of digits alone would be an address that is none.
  return text.length <= 253 && labels.every((label) => hostLabel.test(label)) && !/^\d+$/.test(labels.at(-1) ?? '');
}

/** A host inside a sprite: a name, an IPv4 or an IPv6 address (with or without brackets). Nothing else passes, so that it can stand in a request line. */
export const portHost = z
  .string()
  .max(255)
  .transform((text) => text.replace(/^\[(.*)\]$/s, '$1'))
  .refine(
    (text) => z.ipv4().safeParse(text).success || z.ipv6().safeParse(text).success || isHostName(text),
    'is to be a host name, an IPv4 or an IPv6 address',
  );

/** First message of a client on `…/proxy`. Fields nobody knows are ignored: clients may say more. */
export const proxyRequest = z.object({
  host: z.preprocess((value) => (value === '' ? undefined : value), portHost.default('localhost')),
  port: z.int().min(1).max(65_535),
  /** The client may end its input by {@link proxyEof}, and takes bytes from the start. */
  half_close: z.boolean().default(false),
});
export type ProxyRequest = z.output<typeof proxyRequest>;

/** The server's answer to it. */
export type ProxyAnswer =
  | { status: 'connected'; target: string; half_close?: true }
  | { status: 'error'; error: string; message: string; code: string };

/** Text message of a client that asked for `half_close`: its input has ended. Nothing but a close follows. Fields nobody knows are ignored. */
export const proxyEof = z.object({ type: z.literal('eof') });

/** A port that somebody in the sprite listens on. */
export interface SpritePort {
  port: number;
  /** What `…/proxy` takes as `host`. */
  address: string;
  pid: number;
}

/** A change of the ports of a sprite, as sockets tell it. */
export type PortMessage = { type: 'port_opened' | 'port_closed' } & SpritePort;

/** First message of `…/ports/watch`. */
export interface PortListMessage {
  type: 'port_list';
  ports: PortMessage[];
}

/** `host:port` with IPv6 addresses in brackets. */
export function hostAndPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
