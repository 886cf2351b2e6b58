import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientError } from './errors.ts';
import { serving } from './testing/serving.ts';

test('links and domains are asked for as the server knows them', async () => {
  const requests: string[] = [];
  await using fixture = await serving({}, (request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      requests.push(`${request.method} ${request.url} ${body}`.trimEnd());
      response.end('{"url":"http://one/","domain":"a.b","links":[{"id":"x"}],"domains":[{"domain":"a.b"}]}');
    });
  });
  const { links, domains } = fixture.client;
  const link = await links.create('one', { port: 80, expiresInS: null, password: 'p', description: 'd' });
  assert.equal(link.url, 'http://one/');
  await links.create('one');
  assert.deepEqual(await links.list('one'), [{ id: 'x' }]);
  await links.revoke('one', 'x/y');
  assert.equal((await domains.add('one', 'a.b')).domain, 'a.b');
  assert.deepEqual(await domains.list('one'), [{ domain: 'a.b' }]);
  await domains.remove('one', 'a.b');
  assert.deepEqual(requests, [
    'POST /v1/sprites/one/links {"port":80,"expires_in_s":null,"password":"p","description":"d"}',
    'POST /v1/sprites/one/links {}',
    'GET /v1/sprites/one/links',
    'DELETE /v1/sprites/one/links/x%2Fy',
    'POST /v1/sprites/one/domains {"domain":"a.b"}',
    'GET /v1/sprites/one/domains',
    'DELETE /v1/sprites/one/domains/a.b',
  ]);
});

test('an answer that is something else is told', async () => {
  await using fixture = await serving({}, (_request, response) => void response.end('[]'));
  const { links, domains } = fixture.client;
  for (const call of [
    () => links.create('one'),
    () => links.list('one'),
    () => domains.add('one', 'a.b'),
    () => domains.list('one'),
  ])
    await assert.rejects(call, (error) => error instanceof ClientError && error.code === 'protocol');
});
