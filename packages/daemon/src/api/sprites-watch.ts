import type { SpriteService, SpriteView } from '@sylph/engine';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { logFailure } from './failure-log.ts';
import type { LiveSet } from './live.ts';
import { NdjsonStream } from './ndjson.ts';

/** How often the watched page is read again. Changes are told this late at most. */
const pollIntervalMs = 1_000;
const heartbeatIntervalMs = 15_000;

interface WatchOptions {
  service: SpriteService;
  live: LiveSet;
  prefix: string | undefined;
  /** Most sprites watched. */
  limit: number;
}

/**
 * Answers with the state of each sprite and then with each change of one, until the client leaves. A sprite that is gone is told by `"type":"deleted"`.
 */
export async function watchSprites(
  request: FastifyRequest,
  reply: FastifyReply,
  { service, live, prefix, limit }: WatchOptions,
): Promise<void> {
  using place = live.reserve(request, reply);
  const { org } = request.caller;
  const read = (): Promise<[SpriteView[], Record<string, number>]> =>
    Promise.all([service.list(org, { prefix, limit }), service.counts(org.id)]);
  let [views, counts] = await read();
  const stream = new NdjsonStream(reply, place);
  let told = new Map<string, string>();
  let lastHeartbeatAt = Date.now();
  while (!stream.gone.aborted) {
    const about = {
      timestamp: new Date().toISOString(),
      org: { name: org.slug, ...counts, running_limit: 0, warm_limit: 0 },
    };
    const seen = new Map(views.map((view) => [view.row.name, JSON.stringify(stateLine(view))]));
    for (const [name, line] of seen)
      if (told.get(name) !== line) stream.write({ ...(JSON.parse(line) as object), ...about });
    for (const name of told.keys()) if (!seen.has(name)) stream.write({ type: 'deleted', name, ...about });
    told = seen;
    if (Date.now() - lastHeartbeatAt >= heartbeatIntervalMs) {
      lastHeartbeatAt = Date.now();
      stream.write({ type: 'heartbeat', ...about });
    }
    await pause(pollIntervalMs, stream.gone);
    try {
      [views, counts] = await read();
    } catch (error) {
      // The headers are gone; all that is left is to end, and the client asks anew.
      logFailure(request.log, error, 'watching sprites failed');
      stream.end();
      return;
    }
  }
}

function stateLine({ row, status, state, agentVersion }: SpriteView): object {
  return {
    name: row.name,
    status,
    state,
    running_version: agentVersion,
    last_running_at: row.lastRunningAt,
    last_warming_at: row.lastWarmingAt,
  };
}

/** Resolves after a time, or at once when the signal fires. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
  });
}
