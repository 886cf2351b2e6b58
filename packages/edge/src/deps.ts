import type { Logger, OrgRow, Repository, SpriteService } from '@sylph/engine';
import type { EdgeLimits } from './limits.ts';
import type { SpriteUrls } from './urls.ts';

/** Who a token belongs to. */
export interface TokenHolder {
  org: OrgRow;
  tokenId: string;
}

/** What the edge stands on. */
export interface EdgeDeps {
  service: Pick<SpriteService, 'get' | 'use'>;
  repository: Pick<Repository, 'org' | 'orgBySuffix' | 'sprite' | 'edge'>;
  /** Undefined: it is no token of this server, or no longer. */
  authenticate: (token: string) => Promise<TokenHolder | undefined>;
  /** Whether a token that let somebody in would do so still. */
  isTokenValid: (tokenId: string) => Promise<boolean>;
  urls: SpriteUrls;
  /** Below which sprites are found, lower case. */
  domain: string;
  /** Signs what browsers carry; see `edgeKey`. */
  key: Buffer;
  /** Whether sprites can be served. */
  ready: () => boolean;
  log: Logger;
  limits?: Partial<EdgeLimits>;
  /** Whether an address may say whom it speaks for; default: those of this host. */
  trusts?: (address: string) => boolean;
}

/** {@link EdgeDeps} with every default filled. */
export type ResolvedEdgeDeps = Required<Omit<EdgeDeps, 'limits'>> & { limits: EdgeLimits };
