import type { Session } from '@sylph/engine';
import type { Job, JobState } from '@sylph/model';

/** A job as clients see it. `session` is one of a job. */
export function jobAnswer(session: Session, sprite: string): Job {
  const { request, end } = session;
  return {
    id: session.id,
    sprite,
    cmd: request.argv,
    dir: request.dir,
    state: stateOf(session),
    exit_code: end === undefined || end.how === 'lost' ? null : end.code,
    signal: end?.how === 'exited' ? end.signal : null,
    reason: reasonOf(session),
    created_at: session.createdAt.toISOString(),
    ended_at: end?.at ?? null,
    timeout_ms: request.job?.timeoutMs ?? null,
    output_bytes: session.endOffset,
    idempotency_key: request.job?.idempotencyKey ?? null,
    notify: request.job?.notify?.url ?? null,
  };
}

function stateOf({ end }: Session): JobState {
  if (end === undefined) return 'running';
  if (end.how === 'lost') return 'lost';
  if (end.how === 'exited' && end.cause !== undefined) return end.cause === 'timeout' ? 'timed_out' : 'killed';
  return end.code === 0 ? 'succeeded' : 'failed';
}

function reasonOf({ end, request }: Session): string | null {
  if (end === undefined) return null;
  if (end.how !== 'exited') return end.reason;
  if (end.cause === 'timeout') return `it ran longer than ${(request.job?.timeoutMs ?? 0) / 1000} s`;
  if (end.cause === 'kill') return 'somebody killed it';
  return null;
}
