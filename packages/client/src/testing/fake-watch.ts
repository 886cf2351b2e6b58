import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Json } from './fake-answers.ts';

const lookMs = 20;

/** Tells the state of each sprite, a heartbeat, and then each change, until the client leaves. */
export async function serveWatch(response: ServerResponse, read: () => Iterable<Json>, org: Json): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  const told = new Map<string, string>();
  const tell = (line: Json): void => {
    response.write(`${JSON.stringify({ ...line, timestamp: new Date().toISOString(), org })}\n`);
  };
  for (let first = true; !response.destroyed; first = false) {
    const seen = new Map([...read()].map((sprite) => [String(sprite['name']), stateOf(sprite)]));
    for (const [name, line] of seen) {
      const text = JSON.stringify(line);
      if (told.get(name) !== text) tell(line);
      told.set(name, text);
    }
    for (const name of told.keys()) if (!seen.has(name) && told.delete(name)) tell({ type: 'deleted', name });
    if (first) tell({ type: 'heartbeat' });
    await sleep(lookMs);
  }
}

function stateOf({ name, status, state, version, last_running_at, last_warming_at }: Json): Json {
  return { name, status, state, running_version: version, last_running_at, last_warming_at };
}
