import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ServiceEvent } from '@sylph/model';
import { ClientError } from './errors.ts';
import { serving } from './testing/serving.ts';

const options = { resumeAttempts: 3, timeouts: { streamStallMs: 2_000 } };

const complete: ServiceEvent = { type: 'complete', timestamp: 9 };

test('requests are as the server knows them, and their events come as they are', async () => {
  const requests: string[] = [];
  await using fixture = await serving(options, (request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      requests.push(`${request.method} ${request.url} ${body}`.trimEnd());
      response.end(`\n{"type":"started","timestamp":1}\n\n${JSON.stringify(complete)}\n`);
    });
  });
  const { services } = fixture.client;
  const put = services.put('one', 'web', { cmd: 'node', args: ['a b'], httpPort: 80 }, { windowMs: 1_500 });
  assert.deepEqual(await Array.fromAsync(put), [{ type: 'started', timestamp: 1 }, complete]);
  for await (const _event of services.start('one', 'web'));
  for await (const _event of services.stop('one', 'web', { timeoutMs: 0 }));
  for await (const _event of services.logs('one', 'web', { lines: 0 }));
  await services.signal('one', 'web', 'HUP');
  await services.delete('one', 'web');
  assert.deepEqual(requests, [
    'PUT /v1/sprites/one/services/web?duration=1500ms {"cmd":"node","args":["a b"],"http_port":80}',
    'POST /v1/sprites/one/services/web/start',
    'POST /v1/sprites/one/services/web/stop?timeout=0ms',
    'GET /v1/sprites/one/services/web/logs?lines=0',
    'POST /v1/sprites/one/services/signal {"name":"web","signal":"HUP"}',
    'DELETE /v1/sprites/one/services/web',
  ]);
});

test('a log that is followed arrives whole, wherever its connection breaks', async () => {
  // Several lines share a time.
  const log: ServiceEvent[] = Array.from({ length: 300 }, (_, index) => ({
    type: index % 3 === 0 ? 'stderr' : 'stdout',
    timestamp: 1_000 + Math.floor(index / 4),
    data: `line ${index}\n`,
  }));
  let requests = 0;
  let written = 40;
  await using fixture = await serving(options, (request, response) => {
    requests += 1;
    const lines = Number(new URL(request.url ?? '', 'http://x').searchParams.get('lines') ?? 100);
    const from = Math.max(0, written - lines);
    written = Math.min(log.length, written + 40);
    response.writeHead(200);
    const said = log
      .slice(from, written)
      .map((line) => `${JSON.stringify(line)}\n${requests % 2 === 0 ? '{"type":"started","timestamp":5000}\n' : ''}`)
      .join('');
    // An answer of a server that goes down in order ends with a complete one; others break within a line.
    if (requests % 3 === 0) response.end(`${said}${JSON.stringify(complete)}\n`);
    else response.write(said.slice(0, -10), () => response.destroy());
  });
  const seen: string[] = [];
  for await (const { type, data } of fixture.client.services.logs('one', 'web', { lines: 20, follow: true })) {
    if (type !== 'started') seen.push(data ?? '');
    if (data === 'line 299\n') break;
  }
  assert.deepEqual(
    seen,
    log.slice(20).map(({ data }) => data),
  );
});

test('a stream that breaks off is an error where nothing was to be followed', async () => {
  await using fixture = await serving(options, (_request, response) =>
    response.end('{"type":"started","timestamp":1}\n'),
  );
  await assert.rejects(
    Array.fromAsync(fixture.client.services.restart('one', 'web')),
    (error) => error instanceof ClientError && error.code === 'connection_lost',
  );
});
