import type { PublicStatus, SpriteState } from '@sylph/model';
import type { OrgRow, SpriteRow } from './interfaces/repository.ts';

/** A sprite as the rest of the daemon sees it: its row and its life. */
export interface SpriteView {
  row: SpriteRow;
  org: OrgRow;
  state: SpriteState;
  status: PublicStatus;
  /** Version of the agent inside, null before its first start. */
  agentVersion: string | null;
}
