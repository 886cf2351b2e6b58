import assert from 'node:assert/strict';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { ControlAndDataChannels } from './factory.ts';
import { RealAgent } from './testing/real-agent.ts';

const signal = AbortSignal.timeout(60_000);

let agent: RealAgent;
before(async () => {
  agent = await RealAgent.start();
});
after(() => agent[Symbol.asyncDispose]());

/** A request of a program in the sprite. */
function ask(method: string, at: string, body = ''): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const socketPath = path.join(agent.dir, 'root/.sprite/api.sock');
    const request = http.request({ socketPath, method, path: at, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function* pieces(...texts: string[]): AsyncGenerator<string, void, undefined> {
  yield* texts;
}

test('calls of programs reach who listens, and are answered piece by piece', async () => {
  await using channel = await new ControlAndDataChannels().connect(agent.sockets, { deadlineMs: 10_000, signal });
  await channel.open({ deadlineMs: 10_000 });
  const leaving = new AbortController();
  const lines: unknown[] = [];
  const listening = (async () => {
    for await (const line of channel.calls.listen({ signal: leaving.signal })) {
      lines.push(line);
      if (!('id' in line)) continue;
      const body = pieces('one ', 'x'.repeat(300_000), ' end');
      await channel.calls.answer(line, { status: 202, contentType: 'text/plain', body }, { signal });
    }
  })();
  // Awaited at the end; what fails before it ends the channel, and is what counts.
  listening.catch(() => {});
  const { status, text } = await ask('POST', '/v1/checkpoints/v1/restore?a=b', '{"mode":"disk"}');
  assert.deepEqual([status, text.length, text.slice(0, 4), text.slice(-4)], [202, 300_008, 'one ', ' end']);
  assert.deepEqual(lines, [
    { tasksMs: 0 },
    { id: '1', method: 'POST', path: '/v1/checkpoints/v1/restore?a=b', body: '{"mode":"disk"}' },
  ]);
  assert.equal((await ask('POST', '/v1/tasks', '{"name":"build","expire":60}')).status, 201);
  assert.equal((await ask('DELETE', '/v1/tasks/build')).status, 204);
  for (let waitedMs = 0; lines.length < 4 && waitedMs < 5_000; waitedMs += 10)
    await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(lines.slice(2), [{ tasksMs: 60_000 }, { tasksMs: 0 }]);
  leaving.abort();
  await listening;
  const refused = await ask('GET', '/info');
  assert.equal(refused.status, 503);
  assert.match(refused.text, /does not answer/);
});
