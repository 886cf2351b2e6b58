import { agentFailed } from './failure.ts';

/** Runs `work` under a deadline. At the deadline the signal fires and `work` is expected to reject; `agent_failed` names what was waited for. `outer` ends it early with its own reason. */
export async function withDeadline<T>(
  what: string,
  deadlineMs: number,
  work: (signal: AbortSignal) => Promise<T>,
  outer?: AbortSignal,
): Promise<T> {
  outer?.throwIfAborted();
  const controller = new AbortController();
  const timer = setTimeout(
    () => controller.abort(agentFailed(`the guest did not answer within ${deadlineMs} ms: ${what}`)),
    deadlineMs,
  );
  const forward = () => controller.abort(outer?.reason);
  outer?.addEventListener('abort', forward, { once: true });
  try {
    return await work(controller.signal);
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener('abort', forward);
  }
}
