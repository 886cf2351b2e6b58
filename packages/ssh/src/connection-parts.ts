import type { SpriteLease } from '@sylph/engine';
import type { ConnectionWriter } from './channel-writer.ts';
import type { SshDeps, SshLog } from './deps.ts';
import type { SpriteLink } from './sprite-link.ts';

/** Something that can say a word to the person at the other end. */
export interface Teller {
  /** Never rejects. */
  tell(message: string): Promise<void>;
}

/** What the channels of one connection share. */
export interface ConnectionParts {
  deps: SshDeps;
  link: SpriteLink;
  writer: ConnectionWriter;
  log: SshLog;
  /** Variables about the connection. */
  environment: Record<string, string>;
  /** Open channels with a person or a program behind. */
  tellers: Set<Teller>;
  /** Variables that lead programs to the client's key agent; none when it cannot be. */
  agentSocket(lease: SpriteLease): Promise<Record<string, string>>;
}
