// Whatever comes in: a 4xx that says what and why, nothing changed, the sprite unharmed.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { Api } from '../api.ts';
import { TestDaemon } from '../daemon.ts';
import { checkLeaks } from '../leaks.ts';

checkLeaks(() => daemon[Symbol.asyncDispose]());

let daemon: TestDaemon;
let api: Api;
before(async () => {
  daemon = await TestDaemon.start();
  api = new Api(daemon);
  await api.create('b');
  await api.text('b', 'echo unharmed > file');
});

const requests: [string, string, unknown, number][] = [
  ['POST', '/v1/sprites', { name: '' }, 400],
  ['POST', '/v1/sprites', { name: 'Upper' }, 400],
  ['POST', '/v1/sprites', { name: '../../etc' }, 400],
  ['POST', '/v1/sprites', { name: 'a'.repeat(80) }, 400],
  ['POST', '/v1/sprites', { name: 'x\ny' }, 400],
  ['POST', '/v1/sprites', '{"name":', 400],
  ['POST', '/v1/sprites', '[]', 400],
  ['POST', '/v1/sprites', { name: 'x', labels: 'no list' }, 400],
  ['POST', '/v1/sprites', { name: 'x', environment: { 'A=B': 'c' } }, 400],
  ['POST', '/v1/sprites', { name: 'x', url_settings: { auth: 'nobody' } }, 400],
  ['POST', '/v1/sprites', { name: 'x', from: { image: 'no-such-image' } }, 404],
  ['POST', '/v1/sprites', { name: 'x', from: { sprite: 'no-such-sprite' } }, 404],
  ['POST', '/v1/sprites', { name: 'x', from: { sprite: 'b', checkpoint: 'v99' } }, 404],
  ['POST', '/v1/sprites', { name: 'x', idle_timeout_s: -1 }, 400],
  ['POST', '/v1/sprites', { name: 'b' }, 409],
  ['POST', '/v1/sprites', { name: 'big', comment: 'x'.repeat(2_000_000) }, 413],
  ['PUT', '/v1/sprites/b', { url_settings: { auth: 'nobody' } }, 400],
  ['PUT', '/v1/sprites/none', {}, 404],
  ['PUT', '/v1/sprites/b', { surprise: 1 }, 400],
  ['POST', '/v1/sprites/b/checkpoint', { surprise: 1 }, 400],
  ['POST', '/v1/sprites/b/fs/copy', { source: 'file', dest: 'copy', surprise: 1 }, 400],
  ['PUT', '/v1/sprites/b/services/s', { cmd: 'true', surprise: 1 }, 400],
  ['DELETE', '/v1/sprites/none', undefined, 404],
  ['GET', '/v1/sprites/..%2f..%2fetc', undefined, 404],
  ['GET', '/v1/sprites?max_results=0', undefined, 400],
  ['GET', '/v1/sprites?continuation_token=%00', undefined, 400],
  ['POST', '/v1/sprites/b/fork', {}, 400],
  ['POST', '/v1/sprites/b/fork', { name: 'y', surprise: 1 }, 400],
  ['POST', '/v1/sprites/b/fork', { name: 'y', count: 100_000 }, 400],
  ['POST', '/v1/sprites/b/fork', { name: 'y', checkpoint: '../v0' }, 400],
  ['GET', '/v1/sprites/b/checkpoints/..%2f..%2f', undefined, 404],
  ['GET', '/v1/sprites/b/checkpoints/v7', undefined, 404],
  ['DELETE', '/v1/sprites/b/checkpoints/v7', undefined, 404],
  ['POST', '/v1/sprites/b/exec/999/kill', undefined, 404],
  ['POST', '/v1/sprites/b/exec/abc/kill', undefined, 404],
  ['POST', '/v1/sprites/b/exec?cmd=true&dir=%00', undefined, 400],
  ['POST', '/v1/sprites/b/exec?cmd=true&env=novalue', undefined, 400],
  ['GET', '/v1/no-such-thing', undefined, 404],
  ['GET', '/v1/sprites/b/control', undefined, 404],
];

for (const [method, path, body, status] of requests) {
  test(`${method} ${path} ${JSON.stringify(body)?.slice(0, 60) ?? ''} → ${status}`, async () => {
    const before = (await api.ok('GET', '/v1/sprites')).sprites.length;
    const answer = await api.call(method, path, body);
    assert.equal(answer.status, status, JSON.stringify(answer.body));
    assertSays(answer.body);
    assert.ok(answer.headers.get('x-request-id'));
    assert.equal((await api.ok('GET', '/v1/sprites')).sprites.length, before);
  });
}

/** Every refusal says what, why, and what to do next. */
function assertSays(body: Record<string, unknown>): void {
  for (const field of ['error', 'message', 'code', 'hint'])
    assert.ok(typeof body[field] === 'string' && body[field] !== '', `no ${field}: ${JSON.stringify(body)}`);
}

test('no token, a wrong token, another organization', async () => {
  for (const authorization of [undefined, 'Bearer nonsense', 'Bearer main/x/y/z', 'Basic eDp5']) {
    const response = await fetch(`${daemon.url}/v1/sprites`, {
      headers: authorization === undefined ? {} : { authorization },
    });
    assert.equal(response.status, 401);
    const body = (await response.json()) as Record<string, unknown>;
    assert.equal(body['error'], 'authentication failed');
    assertSays(body);
  }
});

test('a body is JSON whatever its content type says', async () => {
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'nonsense']) {
    const answer = await api.call('PUT', '/v1/sprites/b', JSON.stringify({ labels: [type] }), { 'content-type': type });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    assert.deepEqual(answer.body.labels, [type]);
  }
});

test('the sprite is unharmed', async () => {
  assert.equal(await api.text('b', 'cat file'), 'unharmed');
});
