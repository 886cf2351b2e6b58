import type { SpriteService, SpriteView } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { logFailure } from './failure-log.ts';
import { FlowingAnswer } from './flowing-answer.ts';
import type { LiveSet } from './live.ts';
import { vanished } from './vanished.ts';

/** Changes are told this late at most; several of one sprite in between are one. */
const gatherMs = 1_000;
const heartbeatIntervalMs = 15_000;
/** Sprites read at once while all are told for the first time. */
const pageSize = 500;
/** A client that takes nothing for so long is cut off. */
const slowClientMs = 60_000;

interface WatchOptions {
  service: SpriteService;
  live: LiveSet;
  prefix: string | undefined;
  /** Sprites that may be awake at once, 0 = no limit. */
  runningLimit: number;
}

/**
 * Answers with the state of each sprite, a heartbeat, and then each change of one, until the client leaves. A sprite that is gone is told by `"type":"deleted"`.
 * A slow client gets fewer, newer lines. Costs are by what changes, not by how many sprites there are.
 */
export async function watchSprites(
  request: FastifyRequest,
  reply: FastifyReply,
  { service, live, prefix = '', runningLimit }: WatchOptions,
): Promise<void> {
  using place = live.reserve(request, reply);
  const { org } = request.caller;
  const gone = vanished(reply);
  // From before the first look on: nothing is missed in between.
  const changed = new Set<string>();
  using _listening = service.onChange(org, (name) => {
    if (name.startsWith(prefix)) changed.add(name);
  });
  let page = await service.list(org, { prefix, limit: pageSize });
  let about = await aboutNow();
  const answer = new FlowingAnswer(reply, place, { 'content-type': 'application/x-ndjson' });
  const told = new Map<string, string>();
  try {
    // All lines of the first telling have one time; its end is the first heartbeat.
    for (;;) {
      await write(page.flatMap(news));
      const last = page.at(-1)?.row.name;
      if (last === undefined || page.length < pageSize) break;
      page = await service.list(org, { prefix, after: last, limit: pageSize });
    }
    await write([{ type: 'heartbeat' }]);
    for (let heardAt = performance.now(); !gone.aborted; await pause(gatherMs, gone)) {
      const names = [...changed];
      changed.clear();
      const beat = performance.now() - heardAt >= heartbeatIntervalMs;
      if (names.length === 0 && !beat) continue;
      about = await aboutNow();
      const lines = [];
      for (const name of names) lines.push(...(await newsOf(name)));
      if (beat) {
        heardAt = performance.now();
        lines.push({ type: 'heartbeat' });
      }
      await write(lines);
    }
  } catch (error) {
    // The headers are gone; all that is left is to end, and the client asks anew.
    if (!gone.aborted) logFailure(request.log, error, 'watching sprites failed');
    answer.cut();
  }

  async function aboutNow(): Promise<object> {
    const counts = await service.counts(org.id);
    return {
      timestamp: new Date().toISOString(),
      org: { name: org.slug, ...counts, running_limit: runningLimit, warm_limit: 0 },
    };
  }

  /** The state of a sprite, unless that is what was told last. */
  function news(view: SpriteView): object[] {
    const line = stateLine(view);
    const text = JSON.stringify(line);
    if (told.get(line.name) === text) return [];
    told.set(line.name, text);
    return [line];
  }

  async function newsOf(name: string): Promise<object[]> {
    const view = await find(service, org, name);
    if (view !== undefined) return news(view);
    return told.delete(name) ? [{ type: 'deleted', name }] : [];
  }

  async function write(lines: object[]): Promise<void> {
    if (lines.length === 0) return;
    const text = lines.map((line) => `${JSON.stringify({ ...line, ...about })}\n`).join('');
    await answer.write(text, AbortSignal.any([gone, AbortSignal.timeout(slowClientMs)]));
  }
}

async function find(
  service: SpriteService,
  org: Parameters<SpriteService['get']>[0],
  name: string,
): Promise<SpriteView | undefined> {
  try {
    return await service.get(org, name);
  } catch (error) {
    if (SylphError.from(error).code === 'sprite_not_found') return undefined;
    throw error;
  }
}

function stateLine({ row, status, state, agentVersion }: SpriteView) {
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
