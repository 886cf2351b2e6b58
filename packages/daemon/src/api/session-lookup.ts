import type { OrgRow, Session, SpriteService } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import { shortened } from './shortened.ts';

/** The session of an id, sleeping sprites left asleep. Throws `session_not_found`. */
export async function findSession(service: SpriteService, org: OrgRow, name: string, id: string): Promise<Session> {
  return (await service.peekSessions(org, name))?.get(id) ?? unknownSession(id);
}

/** Throws `session_not_found`. */
export function unknownSession(id: string): never {
  throw new SylphError('session_not_found', `session not found: ${shortened(id)}`, {
    hint: 'It may have ended some time ago. List what runs with GET …/exec.',
  });
}

/** Program as resolved in the sprite, and its arguments. */
export function commandOf({ resolvedPath, request }: Session): string {
  return [resolvedPath, ...request.argv.slice(1)].join(' ');
}
