import type { OrgRow, Repository, SpriteService, SpriteView } from '@sylph/engine';
import type { SshLimits } from './limits.ts';

/** A logger; pino's shape. */
export interface SshLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** What the SSH server stands on. */
export interface SshDeps {
  service: SpriteService;
  repository: Repository;
  log: SshLog;
  /** Whether sprites can be served. */
  ready: () => boolean;
  /** Whose an API token is; undefined for one that is not valid. */
  authenticateToken: (text: string) => Promise<{ org: OrgRow; tokenId: string } | undefined>;
  /** Whether a token that let somebody in would do so still. */
  isTokenValid: (tokenId: string) => Promise<boolean>;
  /** What every command of a sprite begins with. */
  commandBase: (sprite: SpriteView) => { env: Record<string, string>; dir: string; user: string };
  /** The program inside that serves files. */
  sftpServer: string;
  limits: SshLimits;
}
