import type { Repository, Session } from '@sylph/engine';
import { spriteId } from '@sylph/model';
import { jobAnswer } from '../api/job-answer.ts';
import type { Deliveries } from './deliveries.ts';

/** Notes down the message about a job's end. The same end has the same id, however often it is told. */
export function tellJobEnds(
  repository: Repository,
  deliveries: Deliveries,
): (spriteId: string, session: Session) => Promise<void> {
  return async (id, session) => {
    const { end, request } = session;
    const sprite = await repository.sprite(spriteId.parse(id));
    // A sprite that was deleted meanwhile has nothing to tell.
    if (sprite === undefined || end === undefined || !request.job?.notify) return;
    const { url, secret } = request.job.notify;
    await deliveries.add({
      id: `job-${id}-${session.id}-${Date.parse(end.at)}`,
      orgId: sprite.orgId,
      url,
      secret,
      body: JSON.stringify({
        type: 'job.ended',
        timestamp: end.at,
        sprite_id: id,
        job: jobAnswer(session, sprite.name),
      }),
    });
  };
}
