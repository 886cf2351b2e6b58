import type { ChannelCount } from './channel-count.ts';
import type { ConnectionWriter } from './channel-writer.ts';
import type { SshDeps, SshLog } from './deps.ts';
import type { Inflow } from './inflow.ts';
import type { SpriteLink } from './sprite-link.ts';

/** A channel with a person or a program at its other end. */
export interface Dismissible {
  /** Says why, and closes the channel, without an exit status. Never rejects. */
  dismiss(reason: string): Promise<void>;
}

/** What the channels of one connection share. */
export interface ConnectionParts {
  deps: SshDeps;
  link: SpriteLink;
  writer: ConnectionWriter;
  inflow: Inflow;
  log: SshLog;
  /** Variables about the connection. */
  environment: Record<string, string>;
  /** Those to whom something is to be said before the end. */
  dismissibles: Set<Dismissible>;
  /** Its channels, of all kinds. */
  channels: ChannelCount;
}
