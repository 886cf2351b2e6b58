import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { CliFixture, type Run } from './testing/run-cli.ts';

const link = {
  id: 'L1',
  port: 3000,
  description: 'for Ann',
  has_password: true,
  created_at: new Date().toISOString(),
  expires_at: '2030-01-01T00:00:00.000Z',
};

const requests: string[] = [];
let answer: unknown;
let fixture: CliFixture;
const server = createServer((request: IncomingMessage, response: ServerResponse) => {
  let body = '';
  request.on('data', (chunk: Buffer) => (body += chunk.toString()));
  request.on('end', () => {
    requests.push(`${request.method} ${request.url} ${body}`.trimEnd());
    response.end(JSON.stringify(answer));
  });
});

before(async () => {
  fixture = await CliFixture.make();
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
});
after(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await fixture[Symbol.asyncDispose]();
});

/** Runs `sylph …` against a server that answers with this. */
async function run(said: unknown, words: string[], input?: string): Promise<Run & { text: string }> {
  answer = said;
  requests.length = 0;
  const env = { SYLPH_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, SYLPH_SPRITE: 'one' };
  const done = await fixture.run(words, { env, ...(input === undefined ? {} : { input }) });
  return { ...done, text: done.stdout.toString() };
}

test('url shows the URL, and changes who may use it', async () => {
  const sprite = { name: 'one', url: 'http://one-abc.test', url_settings: { auth: 'sprite' } };
  const shown = await run(sprite, ['url']);
  assert.deepEqual([shown.code, shown.text], [0, 'http://one-abc.test\n'], shown.stderr);
  assert.deepEqual(requests, ['GET /v1/sprites/one']);
  const changed = await run({ ...sprite, url_settings: { auth: 'public' } }, ['url', '--auth', 'public', '--json']);
  assert.deepEqual(JSON.parse(changed.text), { url: 'http://one-abc.test', auth: 'public' });
  assert.deepEqual(requests, ['PUT /v1/sprites/one {"url_settings":{"auth":"public"}}']);
  assert.equal((await run(sprite, ['url', '--auth', 'everybody'])).code, 2);
});

test('links are made, listed and revoked', async () => {
  const made = await run({ ...link, url: 'http://one/.sylph/link/x' }, [
    'links',
    'create',
    '--port',
    '3000',
    '--expires',
    '1h',
  ]);
  assert.deepEqual([made.code, made.text], [0, 'http://one/.sylph/link/x\n'], made.stderr);
  assert.deepEqual(requests, ['POST /v1/sprites/one/links {"port":3000,"expires_in_s":3600}']);
  await run({ ...link, url: 'u' }, ['links', 'create', '--forever', '--password'], 'open sesame\n');
  assert.deepEqual(requests, ['POST /v1/sprites/one/links {"expires_in_s":null,"password":"open sesame"}']);
  for (const wrong of [['--forever', '--expires', '1h'], ['--expires', '1500ms'], ['--password']])
    assert.equal((await run({}, ['links', 'create', ...wrong], '')).code, 2, wrong.join(' '));
  const listed = await run({ links: [link] }, ['links', 'list']);
  assert.match(
    listed.text,
    /ID +PORT +PASSWORD +CREATED +EXPIRES +DESCRIPTION\nL1 +3000 +yes .*2030-01-01.* for Ann\n/,
  );
  assert.match((await run({ links: [] }, ['links', 'ls'])).text, /sylph links create -s one/);
  const revoked = await run(undefined, ['links', 'revoke', 'L1', 'L2']);
  assert.deepEqual(
    [revoked.text, requests],
    ['L1 revoked\nL2 revoked\n', ['DELETE /v1/sprites/one/links/L1', 'DELETE /v1/sprites/one/links/L2']],
  );
});

test('domains are added, listed and removed', async () => {
  const row = { domain: 'app.example.com', created_at: new Date().toISOString() };
  assert.equal((await run(row, ['domains', 'add', 'App.Example.com'])).text, 'app.example.com leads to one\n');
  assert.deepEqual(requests, ['POST /v1/sprites/one/domains {"domain":"app.example.com"}']);
  assert.match((await run({ domains: [row] }, ['domains', 'list'])).text, /^DOMAIN +ADDED\napp\.example\.com /);
  assert.match((await run({ domains: [] }, ['domains', 'list'])).text, /sylph domains add -s one/);
  await run(undefined, ['domains', 'remove', 'app.example.com']);
  assert.deepEqual(requests, ['DELETE /v1/sprites/one/domains/app.example.com']);
});
