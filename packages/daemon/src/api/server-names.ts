import { placeOf } from '@sylph/edge';

/** Where the server itself is found. */
export interface ServerNames {
  /** Below which sprites have their URLs. */
  domain: string;
  /** The URL of a sprite as people open it. */
  spriteUrl: (name: string, urlSuffix: string, port: number | null) => string;
}

/**
 * Whether a name is the server's, so that no sprite may have it: what lies where sprites have their URLs, as the edge or as people know it, and every name above, whose pages could set cookies for all of these.
 */
export function isServerName(name: string, { domain, spriteUrl }: ServerNames): boolean {
  if (placeOf(name, domain).kind !== 'domain') return true;
  const [, ...shown] = new URL(spriteUrl('name', 'suffix', null)).hostname.split('.');
  return [domain, shown.join('.')].some(
    (own) => own !== '' && (name === own || name.endsWith(`.${own}`) || own.endsWith(`.${name}`)),
  );
}
