import type { ChannelCount } from './channel-count.ts';
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
  /** Its channels, of all kinds. */
  channels: ChannelCount;
}
