import { labelOf, loginLabel } from './host.ts';

/** How the edge is reached from outside. */
export interface PublicAddress {
  /** Setting `edge-url`, with `*` for the sprite; empty: from the rest. */
  template: string;
  domain: string;
  tls: boolean;
  /** Port listened on, asked whenever a URL is made; undefined: there is no edge. */
  port: () => number | undefined;
}

/** URLs of sprites as people open them, without a slash at the end: the same for the API and for the edge. */
export class SpriteUrls {
  readonly #address: PublicAddress;

  constructor(address: PublicAddress) {
    this.#address = address;
  }

  /** Of a sprite, or of one of its ports. */
  of(name: string, urlSuffix: string, port: number | null = null): string {
    return this.#at(labelOf(name, urlSuffix, port));
  }

  /** Where tokens are asked for. */
  login(): string {
    return this.#at(loginLabel);
  }

  #at(label: string): string {
    const { template, domain, tls, port } = this.#address;
    if (template !== '') return template.replace('*', label);
    const scheme = tls ? 'https' : 'http';
    const own = port();
    const shown = own === undefined || own === (tls ? 443 : 80) ? '' : `:${own}`;
    return `${scheme}://${label}.${domain}${shown}`;
  }
}
