import { setTimeout as sleep } from 'node:timers/promises';
import type { OrgRow, Session, SpriteService } from '@sylph/engine';
import type { ExecClient } from './exec-client.ts';
import type { PortBoards } from './port-board.ts';
import { followPorts } from './port-messages.ts';

/** A session's ports are looked for once it has run so long: a short command pays nothing for it. */
const settledMs = 1_000;
/** Unsent output of a client at which changes are put together until it has read. */
const maxUnsentBytes = 256 * 1024;

/** Tells a client of an exec socket which ports the processes of its session open and close, until the session ends or the client leaves. Never rejects. */
export async function tellSessionPorts(
  client: ExecClient,
  session: Session,
  { service, boards, org, name }: { service: SpriteService; boards: PortBoards; org: OrgRow; name: string },
): Promise<void> {
  const over = new AbortController();
  const end = (): void => over.abort();
  client.gone.addEventListener('abort', end, { once: true });
  void session.ended.then(end);
  try {
    await sleep(Math.max(0, session.createdAt.getTime() + settledMs - Date.now()), undefined, { signal: over.signal });
  } catch {
    // It was a short command, or its client has left.
    return;
  }
  await followPorts({
    service,
    boards,
    org,
    name,
    wanted: (port) => port.session === session.id,
    tell: (changes) => {
      // Nothing is told behind an exit.
      if (session.end === undefined) for (const change of changes) client.tell(change);
    },
    ready: () => client.unsentBytes < maxUnsentBytes,
    signal: over.signal,
  });
}
