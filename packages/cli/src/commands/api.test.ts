import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { CliFixture, type Run } from '../testing/run-cli.ts';

let fixture: CliFixture;
let server: Server;
let url: string;
const requests: { line: string; headers: Record<string, unknown>; body: Buffer }[] = [];
let answer: { status: number; headers?: Record<string, string>; body: string | Buffer };

before(async () => {
  fixture = await CliFixture.make();
  server = createServer((request, response) => {
    void buffer(request).then((body) => {
      requests.push({ line: `${request.method} ${request.url}`, headers: request.headers, body });
      response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers }).end(answer.body);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(async () => {
  server.closeAllConnections();
  server.close();
  await fixture[Symbol.asyncDispose]();
});

/** Runs `sylph api …` against a server that answers so. */
async function run(
  given: typeof answer,
  words: string[],
  input?: Buffer,
): Promise<Run & { last: (typeof requests)[number] | undefined }> {
  answer = given;
  requests.length = 0;
  const env = { SYLPH_URL: url, SYLPH_SPRITE: 'one' };
  const result = await fixture.run(['api', ...words], { env, ...(input === undefined ? {} : { input }) });
  return { ...result, last: requests.at(-1) };
}

test('paths of the server and of the sprite, with the token', async () => {
  const whole = await run({ status: 200, body: '{"a":1}' }, ['/v1/sprites?prefix=x']);
  assert.deepEqual([whole.code, whole.stdout.toString(), whole.stderr], [0, '{"a":1}', '']);
  assert.equal(whole.last?.line, 'GET /v1/sprites?prefix=x');
  assert.equal(whole.last.headers['authorization'], `Bearer ${fixture.server.token}`);
  assert.equal((await run({ status: 200, body: '' }, ['checkpoints'])).last?.line, 'GET /v1/sprites/one/checkpoints');
  assert.equal(
    (await run({ status: 200, body: '' }, ['-s', 'two', 'delete', 'jobs/7'])).last?.line,
    'DELETE /v1/sprites/two/jobs/7',
  );
});

test('bodies from the command line and from stdin, and headers', async () => {
  const posted = await run({ status: 202, body: '' }, [
    'jobs',
    '--data',
    '{"cmd":["ls"]}',
    '-H',
    'Idempotency-Key: k1',
  ]);
  assert.deepEqual(
    [posted.last?.line, posted.last?.body.toString(), posted.last?.headers['idempotency-key']],
    ['POST /v1/sprites/one/jobs', '{"cmd":["ls"]}', 'k1'],
  );
  assert.equal(posted.last?.headers['content-type'], 'application/json');
  const bytes = randomBytes(3_000_000);
  const put = await run({ status: 200, body: '' }, ['PUT', 'fs/write?path=/a', '-d', '-'], bytes);
  assert.deepEqual([put.code, put.last?.line], [0, 'PUT /v1/sprites/one/fs/write?path=/a']);
  assert.ok(put.last?.body.equals(bytes));
  assert.equal(put.last?.headers['content-type'], 'application/octet-stream');
});

test('answers as they are, with their head when asked to', async () => {
  const bytes = randomBytes(2_000_000);
  const binary = await run({ status: 200, body: bytes, headers: { 'content-type': 'x/y' } }, ['fs/read?path=/a']);
  assert.ok(binary.stdout.equals(bytes));
  const head = await run({ status: 200, body: 'text', headers: { 'x-a': 'b' } }, ['-i', 'x']);
  assert.match(head.stdout.toString(), /^HTTP 200 OK\n(?:[\w-]+: .*\n)*x-a: b\n(?:[\w-]+: .*\n)*\ntext$/);
});

test('a refusal is shown whole, and the exit code 1', async () => {
  const refused = await run({ status: 404, body: '{"error":"sprite not found"}' }, ['/v1/sprites/none']);
  assert.deepEqual(
    [refused.code, refused.stdout.toString(), refused.stderr],
    [1, '{"error":"sprite not found"}', 'sylph: the server answered 404 Not Found\n'],
  );
  // The token is not taken elsewhere.
  const moved = await run({ status: 302, body: '', headers: { location: 'http://127.0.0.1:1/' } }, ['/v1/sprites']);
  assert.deepEqual([moved.code, requests.length], [0, 1]);
});

test('--json tells all of it in one document', async () => {
  const parse = ({ stdout }: Run): Record<string, unknown> => JSON.parse(stdout.toString()) as Record<string, unknown>;
  const object = await run({ status: 409, body: '{"error":"x"}' }, ['--json', 'x']);
  assert.deepEqual(
    [object.code, object.stderr, parse(object)['status'], parse(object)['encoding'], parse(object)['body']],
    [1, '', 409, 'json', { error: 'x' }],
  );
  const headers = parse(object)['headers'] as Record<string, string>;
  assert.equal(headers['content-type'], 'application/json');
  const broken = await run({ status: 200, body: '{' }, ['--json', 'x']);
  assert.deepEqual([parse(broken)['encoding'], parse(broken)['body']], ['utf-8', '{']);
  const binary = await run({ status: 200, body: Buffer.from([255]) }, ['--json', 'x']);
  assert.deepEqual([parse(binary)['encoding'], parse(binary)['body']], ['base64', '/w==']);
});

test('mistakes are told before anything is asked', async () => {
  for (const words of [
    [],
    ['FETCH', '/x'],
    ['GET', '/x', '-d', 'a'],
    ['/x', '-H', 'nonsense'],
    ['/x', '-H', 'a: b\nc: d'],
  ]) {
    const { code, last } = await run({ status: 200, body: '' }, words);
    assert.deepEqual([code, last], [2, undefined], words.join(' '));
  }
  const away = await fixture.run(['api', '/v1/sprites'], { env: { SYLPH_URL: 'http://127.0.0.1:1' } });
  assert.equal(away.code, 1);
  assert.match(away.stderr, /^sylph: no answer came from http:\/\/127\.0\.0\.1:1: /);
});
