import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import type net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { SpriteUrls, startEdge, type RunningEdge } from '@sylph/edge';
import { AgentService } from '../api/testing/agent-service.ts';
import { ApiFixture } from '../api/testing/fixture.ts';
import { authenticate, isTokenValid } from '../auth/tokens.ts';

const run = promisify(execFile);

describe('the edge over a real agent', () => {
  const stack = new AsyncDisposableStack();
  let api: ApiFixture<AgentService>;
  let edge: RunningEdge;
  let host: string;
  let port: number;
  let answer: http.RequestListener = (_request, response) => void response.end();

  before(async () => {
    const service = stack.use(await AgentService.open());
    api = stack.use(await ApiFixture.over(service));
    await api.sprite('one');
    await api.json('PUT', '/v1/sprites/one', { body: { url_settings: { auth: 'public' } } });
    const server = http.createServer((request, response) => answer(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    stack.defer(async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    });
    port = (server.address() as net.AddressInfo).port;
    const { repository } = api;
    edge = await startEdge(
      {
        service,
        repository,
        authenticate: (token) => authenticate(repository, token),
        isTokenValid: (id) => isTokenValid(repository, id),
        urls: new SpriteUrls({ template: '', domain: 'sprites.localhost', tls: false, port: () => undefined }),
        domain: 'sprites.localhost',
        key: randomBytes(32),
        ready: () => true,
        log: api.logger,
      },
      { host: '127.0.0.1', port: 0 },
    );
    stack.defer(() => edge.close());
    host = `${port}--one-${api.org.urlSuffix}.sprites.localhost`;
  });
  after(() => stack.disposeAsync());

  /** curl's answer and what it says of it. */
  async function curl(path: string, ...options: string[]): Promise<{ status: number; body: string; connects: number }> {
    const { stdout } = await run('curl', [
      '-sS',
      '--max-time',
      '20',
      '--resolve',
      `${host}:${edge.address.port}:127.0.0.1`,
      '-w',
      '\n%{http_code} %{num_connects}',
      ...options,
      `http://${host}:${edge.address.port}${path}`,
    ]);
    const lines = stdout.split('\n');
    const [status, connects] = (lines.pop() ?? '').split(' ');
    return { status: Number(status), body: lines.join('\n'), connects: Number(connects) };
  }

  it('passes requests and answers on, over connections that are kept', async () => {
    let connections = 0;
    const seen = new Set<net.Socket>();
    answer = (request, response) => {
      if (!seen.has(request.socket)) connections += 1;
      seen.add(request.socket);
      request.setEncoding('utf8');
      let body = '';
      request.on('data', (text: string) => (body += text));
      request.on('end', () => response.end(`${request.method} ${request.url} ${body}`));
    };
    for (let count = 0; count < 5; count++)
      assert.deepEqual(
        await curl('/a?b=c'),
        { status: 200, body: 'GET /a?b=c ', connects: 1 },
        api.log.slice(-3).join(''),
      );
    assert.equal(connections, 1);
    assert.equal((await curl('/p', '-d', 'some=body')).body, 'POST /p some=body');
    assert.equal(
      (await curl('/p', '-H', 'Expect: 100-continue', '-d', 'x'.repeat(5_000))).body,
      `POST /p ${'x'.repeat(5_000)}`,
    );
    assert.equal((await curl('/p', '-H', 'Transfer-Encoding: chunked', '-d', 'chunks')).body, 'POST /p chunks');
    assert.equal((await curl('/h', '-I')).status, 200);
  });

  it('says that nothing listens', async () => {
    const free = host.replace(/^\d+/, '1');
    const { stdout } = await run('curl', ['-sS', '-H', `Host: ${free}`, `http://127.0.0.1:${edge.address.port}/`]);
    assert.equal(JSON.parse(stdout).code, 'no_http_server');
  });
});
