import type { SpriteId } from '@sylph/model';

/** A preview link; its secret is never stored. */
export interface LinkRow {
  id: string;
  spriteId: SpriteId;
  /** SHA-256 of the secret, hex: it is 256 random bits. */
  secretHash: string;
  /** Null: where the sprite's URL leads. */
  port: number | null;
  /** Salted and slow, in a text of the edge's own format; null: none is asked. */
  passwordHash: string | null;
  description: string;
  createdAt: string;
  expiresAt: string | null;
}

/** A name of the internet that leads to a sprite. */
export interface DomainRow {
  domain: string;
  spriteId: SpriteId;
  createdAt: string;
}

/** Rows of what the edge hands out. All go with their sprite. */
export interface EdgeRepository {
  insertLink(row: LinkRow): Promise<void>;
  link(id: string): Promise<LinkRow | undefined>;
  /** Newest first. */
  links(spriteId: SpriteId): Promise<LinkRow[]>;
  /** Whether there was one of this sprite. */
  removeLink(spriteId: SpriteId, id: string): Promise<boolean>;
  /** Drops links that expired before `before`. */
  pruneLinks(before: string): Promise<void>;

  /** Throws `domain_taken`. */
  insertDomain(row: DomainRow): Promise<void>;
  domain(domain: string): Promise<DomainRow | undefined>;
  /** By name. */
  domains(spriteId: SpriteId): Promise<DomainRow[]>;
  removeDomain(spriteId: SpriteId, domain: string): Promise<boolean>;
}
