import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { describe, it } from 'node:test';
import { SylphError } from '@sylph/model';
import { createToken } from '../auth/tokens.ts';
import { ApiFixture, eventually, type Json } from './testing/fixture.ts';

describe('sprites', () => {
  it('creates with 201 and the object, gets, updates with 200, deletes with 204', async () => {
    await using api = await ApiFixture.open();
    const created = await api.json('POST', '/v1/sprites', {
      body: { name: 'one', labels: ['a'], environment: { A: 'b' }, unknown: { ignored: true } },
    });
    assert.equal(created.status, 201);
    assert.match(created.headers.get('content-type') ?? '', /^application\/json; charset=utf-8/);
    const { id, url, created_at: createdAt, updated_at: updatedAt, ...rest } = created.body;
    assert.match(id, /^sprite-[0-9a-f-]{36}$/);
    assert.equal(url, `http://one-${api.org.urlSuffix}.test`);
    assert.ok(!Number.isNaN(Date.parse(createdAt)) && !Number.isNaN(Date.parse(updatedAt)));
    assert.deepEqual(rest, {
      name: 'one',
      organization: 'acme',
      org_slug: 'acme',
      url_settings: { auth: 'sprite', private_access: 'admins' },
      status: 'cold',
      state: 'asleep',
      reason: null,
      last_running_at: null,
      last_warming_at: null,
      version: null,
      environment_version: null,
      labels: ['a'],
      config: { cpus: 2, ram_mb: 2048, storage_gb: 20 },
      environment: { A: 'b' },
      idle_timeout_s: 30,
      image: 'minimal',
      parent: null,
      last_start: null,
    });
    assert.deepEqual((await api.json('GET', '/v1/sprites/one')).body, created.body);
    const updated = await api.json('PUT', '/v1/sprites/one', {
      body: { url_settings: { auth: 'public' }, clear_labels: true },
    });
    assert.equal(updated.status, 200);
    assert.deepEqual([updated.body.url_settings.auth, updated.body.labels], ['public', []]);
    const deleted = await api.json('DELETE', '/v1/sprites/one');
    assert.deepEqual([deleted.status, deleted.body], [204, undefined]);
    assert.equal((await api.json('DELETE', '/v1/sprites/one')).status, 404);
  });

  it('names what does not fit, in every shape clients look for', async () => {
    await using api = await ApiFixture.open();
    const name = await api.json('POST', '/v1/sprites', { body: { name: 'Not OK' } });
    assert.equal(name.status, 400);
    assert.equal(name.body.code, 'invalid_name');
    assert.match(name.body.errors[0], /^invalid sprite name format/);
    assert.equal(name.body.error, name.body.message);
    assert.ok(name.body.hint);
    for (const bad of ['', '-a', 'a-', 'a_b', 'a.b', 'A', 'ä', 'a'.repeat(57), 'a/b', '../x', 5, null, undefined]) {
      assert.equal((await api.json('POST', '/v1/sprites', { body: { name: bad } })).status, 400, String(bad));
    }
    assert.equal((await api.json('POST', '/v1/sprites', { body: { name: 'a'.repeat(56) } })).status, 201);

    const auth = await api.json('POST', '/v1/sprites', { body: { name: 'one', url_settings: { auth: 'nobody' } } });
    assert.deepEqual([auth.status, auth.body.errors], [400, ['invalid auth type, must be one of: sprite, public']]);
    const size = await api.json('POST', '/v1/sprites', { body: { name: 'one', config: { cpus: 0, ram_mb: 'much' } } });
    assert.deepEqual([size.status, size.body.code, size.body.errors.length], [400, 'invalid_size', 2]);
    const both = await api.json('POST', '/v1/sprites', { body: { name: 'X', labels: ['a\tb'] } });
    assert.deepEqual([both.body.code, both.body.errors.length], ['invalid_request', 2]);
    for (const body of [
      { name: 'one', environment: { 'A=B': 'x' } },
      { name: 'one', environment: { A: 'x\0y' } },
      { name: 'one', environment: { A: 'x'.repeat(40_000) } },
      { name: 'one', from: { sprite: 'a', image: 'b' } },
      { name: 'one', idle_timeout_s: -1 },
      [],
      'text',
      5,
    ]) {
      assert.equal(
        (await api.json('POST', '/v1/sprites', { body: JSON.stringify(body) })).status,
        400,
        JSON.stringify(body),
      );
    }
    assert.deepEqual(api.service.calls, ['create ' + 'a'.repeat(56)]);
  });

  it('refuses a duplicate with 409 and the text clients know', async () => {
    await using api = await ApiFixture.open();
    await api.json('POST', '/v1/sprites', { body: { name: 'one' } });
    const again = await api.json('POST', '/v1/sprites', { body: { name: 'one' } });
    assert.equal(again.status, 409);
    assert.deepEqual(
      [again.body.code, again.body.error, again.body.retryable],
      ['name_taken', "A sprite named 'one' already exists. Please choose a different name.", false],
    );
  });

  it('answers 404 "sprite not found" on every route of a sprite that is not there', async () => {
    await using api = await ApiFixture.open();
    const routes = [
      'GET ',
      'PUT ',
      'DELETE ',
      'POST /start',
      'POST /suspend',
      'POST /restart',
      'POST /upgrade',
      'POST /recover',
      'GET /check',
      'GET /exec',
      'HEAD /exec',
      'POST /exec?cmd=ls',
      'POST /exec/1/kill',
      'POST /checkpoint',
      'GET /checkpoints',
      'GET /checkpoints/v0',
      'DELETE /checkpoints/v0',
      'POST /checkpoints/v0/restore',
    ];
    for (const each of routes) {
      for (const name of ['none', 'Not%20OK', 'x'.repeat(200), '..%2f..%2fetc']) {
        const [method = '', path = ''] = each.split(' ');
        const answer = await api.json(method, `/v1/sprites/${name}${path}`, method === 'PUT' ? { body: {} } : {});
        assert.equal(answer.status, 404, `${each} ${name}`);
        if (method !== 'HEAD') assert.equal(answer.body.error, 'sprite not found', `${each} ${name}`);
      }
    }
    assert.equal((await api.json('POST', '/v1/sprites/none/fork', { body: { name: 'two' } })).status, 404);
    for (const path of ['exec?cmd=ls', 'exec/1'])
      assert.deepEqual(await refusal(api, `/v1/sprites/none/${path}`), [404, 'sprite not found']);
  });

  it('accepts JSON with a missing or wrong Content-Type, and no body where none is needed', async () => {
    await using api = await ApiFixture.open();
    let number = 0;
    for (const type of [
      undefined,
      'text/plain',
      'application/x-www-form-urlencoded',
      'nonsense',
      'application/json; charset=latin1',
      ';;',
    ]) {
      const status = await rawPost(api, '/v1/sprites', type, JSON.stringify({ name: `s${number++}` }));
      assert.equal(status, 201, String(type));
      assert.equal(await rawPost(api, '/v1/sprites/s0/start', type, ''), 200, String(type));
      assert.equal(await rawPost(api, '/v1/sprites/s0/checkpoint', type, ''), 200, String(type));
      assert.equal(await rawPost(api, '/v1/sprites/s0/checkpoint', type, '{"comment":"x"}'), 200, String(type));
    }
    for (const body of ['{', 'null', '[]', '{"name":"x"} x', '\x00', '{"__proto__":{"name":"x"}}'])
      assert.equal(await rawPost(api, '/v1/sprites', 'application/json', body), 400, body);
    assert.equal(await rawPost(api, '/v1/sprites/s0/start', 'application/json', '{"force":true}'), 400);
    assert.equal(await rawPost(api, '/v1/sprites/s0/fork', 'application/json', '{"name":"two","unknown":true}'), 400);
  });

  it('pages by name and clamps what is asked', async () => {
    await using api = await ApiFixture.open();
    for (let index = 0; index < 120; index++)
      await api.service.create(api.org, { name: `s${String(index).padStart(3, '0')}` });
    await api.service.start(api.org, 's000');
    const names: string[] = [];
    let token: string | null = null;
    let pages = 0;
    do {
      const { status, body }: Json = await api.json(
        'GET',
        `/v1/sprites?max_results=100${token === null ? '' : `&continuation_token=${token}`}`,
      );
      assert.equal(status, 200);
      assert.equal(body.has_more, body.next_continuation_token !== null);
      assert.deepEqual(body.org, { name: 'acme', running: 1, warm: 0, cold: 119, running_limit: 0, warm_limit: 0 });
      assert.deepEqual([body.name, body.running, body.warm, body.cold], ['acme', 1, 0, 119]);
      names.push(...body.sprites.map((sprite: Json) => sprite.name));
      token = body.next_continuation_token;
      pages++;
    } while (token !== null);
    assert.deepEqual([names.length, pages], [120, 3]);
    assert.deepEqual(names, names.toSorted());
    const exact = await api.json('GET', '/v1/sprites?prefix=s00&max_results=10&bulk_load=true');
    assert.deepEqual([exact.body.sprites.length, exact.body.has_more], [10, false]);
    assert.deepEqual((await api.json('GET', '/v1/sprites?prefix=none')).body.sprites, []);
    for (const query of [
      'max_results=0',
      'max_results=-1',
      'max_results=x',
      'max_results=1.5',
      'continuation_token=%00',
      'continuation_token=',
      `prefix=${'x'.repeat(65)}`,
    ]) {
      assert.equal((await api.json('GET', `/v1/sprites?${query}`)).status, 400, query);
    }
  });

  it('shows an organization its own sprites only', async () => {
    await using api = await ApiFixture.open();
    await api.json('POST', '/v1/sprites', { body: { name: 'one' } });
    const other = await createToken(api.repository, { org: 'other', description: '', expiresAt: null });
    const headers = { authorization: `Bearer ${other}` };
    assert.equal((await api.json('GET', '/v1/sprites/one', { headers })).status, 404);
    assert.deepEqual((await api.json('GET', '/v1/sprites', { headers })).body.sprites, []);
    assert.equal((await api.json('POST', '/v1/sprites', { headers, body: { name: 'one' } })).status, 201);
  });

  it('passes commands on and answers with the sprite', async () => {
    await using api = await ApiFixture.open();
    await api.json('POST', '/v1/sprites', { body: { name: 'one' } });
    assert.equal((await api.json('POST', '/v1/sprites/one/start')).body.status, 'running');
    assert.equal((await api.json('POST', '/v1/sprites/one/suspend', { body: {} })).body.status, 'warm');
    assert.equal((await api.json('POST', '/v1/sprites/one/recover')).status, 200);
    assert.equal((await api.json('POST', '/v1/sprites/one/upgrade')).status, 200);
    const restarted = await api.json('POST', '/v1/sprites/one/restart');
    assert.deepEqual(
      [restarted.status, restarted.body.sprite_name, typeof restarted.body.message],
      [200, 'one', 'string'],
    );
    const check = await api.json('GET', '/v1/sprites/one/check');
    assert.deepEqual(
      [check.status, check.body.sprite_name, check.body.status, check.body.elapsed],
      [200, 'one', 'running', 1.5],
    );
    const forked = await api.json('POST', '/v1/sprites/one/fork', { body: { name: 'two', count: 2 } });
    assert.deepEqual(
      [forked.status, forked.body.sprites.map((sprite: Json) => sprite.name)],
      [201, ['two-1', 'two-2']],
    );
    assert.equal((await api.json('GET', '/v1/host')).body.accelerator.kind, 'tcg');
  });

  it('tells failures of the engine by their codes and hides internal ones', async () => {
    await using api = await ApiFixture.open();
    await api.service.create(api.org, { name: 'one' });
    const answers = async (failure: Error) => {
      api.service.before = () => {
        throw failure;
      };
      return api.json('POST', '/v1/sprites/one/start');
    };
    const full = await answers(new SylphError('pool_full', 'the pool is full', { hint: 'Delete checkpoints.' }));
    assert.deepEqual(
      [full.status, full.body],
      [
        507,
        {
          error: 'the pool is full',
          message: 'the pool is full',
          code: 'pool_full',
          hint: 'Delete checkpoints.',
          retryable: true,
        },
      ],
    );
    assert.equal((await answers(new SylphError('illegal_state', 'cannot start a sprite that is failed'))).status, 409);
    const internal = await answers(new Error('secret detail'));
    assert.deepEqual([internal.status, internal.body.code], [500, 'internal']);
    assert.doesNotMatch(JSON.stringify(internal.body), /secret detail/);
    assert.ok(
      api.log.some(
        (line) => line.includes('secret detail') && line.includes(internal.headers.get('x-request-id') as string),
      ),
    );
  });

  it('watches states as NDJSON', async () => {
    await using api = await ApiFixture.open();
    await api.service.create(api.org, { name: 'one' });
    await api.service.create(api.org, { name: 'other' });
    await using watch = await watching(api, '/v1/sprites?prefix=one');
    await eventually(() => watch.lines.length === 2);
    await api.service.start(api.org, 'one');
    await eventually(() => watch.lines.length === 3);
    await api.service.delete(api.org, 'one');
    await eventually(() => watch.lines.length === 4);
    assert.deepEqual(
      watch.lines.map(({ type, name, status }) => [type, name, status]),
      [
        [undefined, 'one', 'cold'],
        ['heartbeat', undefined, undefined],
        [undefined, 'one', 'running'],
        ['deleted', 'one', undefined],
      ],
    );
    assert.deepEqual(watch.lines[2]?.org, {
      name: 'acme',
      running: 1,
      warm: 0,
      cold: 1,
      running_limit: 0,
      warm_limit: 0,
    });
  });

  it('watches all sprites, however many a page has, and says of none that is there that it is gone', async () => {
    await using api = await ApiFixture.open();
    const count = 1_100;
    for (let i = 0; i < count; i++) await api.service.create(api.org, { name: `s${i}` });
    await using watch = await watching(api, '/v1/sprites?max_results=50');
    await eventually(() => watch.lines.length === count + 1);
    await api.service.create(api.org, { name: 'aaa' });
    await api.service.delete(api.org, 's1099');
    await eventually(() => watch.lines.length === count + 3);
    assert.equal(new Set(watch.lines.map(({ name }) => name)).size, count + 2, 'each once, and the heartbeat');
    assert.deepEqual(
      watch.lines.slice(count + 1).map(({ type, name }) => [type, name]),
      [
        [undefined, 'aaa'],
        ['deleted', 's1099'],
      ],
    );
  });
});

/** A watch that is being read. Dispose: the client leaves. */
async function watching(api: ApiFixture, path: string): Promise<AsyncDisposable & { lines: Json[] }> {
  const response = await api.request('GET', path, { headers: { accept: 'application/x-ndjson' } });
  assert.equal(response.headers.get('content-type'), 'application/x-ndjson');
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const lines: Json[] = [];
  const reading = (async () => {
    const decoder = new TextDecoder();
    let text = '';
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      const parts = (text + decoder.decode(read.value, { stream: true })).split('\n');
      text = parts.pop() ?? '';
      lines.push(...parts.map((part) => JSON.parse(part)));
    }
  })();
  return {
    lines,
    [Symbol.asyncDispose]: async () => {
      await reader.cancel();
      await reading;
    },
  };
}

describe('idempotency keys', () => {
  const key = { 'idempotency-key': 'k-1' };

  it('give the same answer for the same request, and 409 for another', async () => {
    await using api = await ApiFixture.open();
    const first = await api.json('POST', '/v1/sprites', { body: { name: 'one', labels: ['a'] }, headers: key });
    const again = await api.json('POST', '/v1/sprites', { body: '{ "labels": ["a"],  "name": "one" }', headers: key });
    assert.deepEqual([again.status, again.body], [201, first.body]);
    assert.deepEqual(api.service.calls, ['create one']);
    const other = await api.json('POST', '/v1/sprites', { body: { name: 'two' }, headers: key });
    assert.deepEqual([other.status, other.body.code], [409, 'idempotency_mismatch']);
    const fork = await api.json('POST', '/v1/sprites/one/fork', { body: { name: 'two' }, headers: key });
    assert.equal(fork.status, 409);
    const others = await createToken(api.repository, { org: 'other', description: '', expiresAt: null });
    assert.equal(
      (
        await api.json('POST', '/v1/sprites', {
          body: { name: 'two' },
          headers: { ...key, authorization: `Bearer ${others}` },
        })
      ).status,
      201,
    );
    assert.equal(
      (await api.json('POST', '/v1/sprites', { body: { name: 'x' }, headers: { 'idempotency-key': 'x'.repeat(256) } }))
        .status,
      400,
    );
  });

  it('join requests at the same time', async () => {
    await using api = await ApiFixture.open();
    const { promise, resolve } = Promise.withResolvers<void>();
    api.service.before = () => promise;
    const answers = Promise.all(
      [1, 2, 3].map(() => api.json('POST', '/v1/sprites', { body: { name: 'one' }, headers: key })),
    );
    const mismatch = api.json('POST', '/v1/sprites', { body: { name: 'two' }, headers: key });
    await eventually(() => api.service.calls.length > 0);
    assert.equal((await mismatch).status, 409);
    resolve();
    const bodies = (await answers).map(({ body }) => body);
    assert.deepEqual(bodies, [bodies[0], bodies[0], bodies[0]]);
    assert.deepEqual(api.service.calls, ['create one']);
  });

  it('let a failed request be tried again', async () => {
    await using api = await ApiFixture.open();
    api.service.before = () => {
      throw new SylphError('pool_full', 'full');
    };
    assert.equal((await api.json('POST', '/v1/sprites', { body: { name: 'one' }, headers: key })).status, 507);
    api.service.before = () => {};
    assert.equal((await api.json('POST', '/v1/sprites', { body: { name: 'one' }, headers: key })).status, 201);
  });

  it('find what was made before a crash that lost the answer', async () => {
    await using api = await ApiFixture.open();
    for (const [path, body, made] of [
      ['/v1/sprites', { name: 'one' }, ['one']],
      ['/v1/sprites/one/fork', { name: 'two', count: 2 }, ['two-1', 'two-2']],
    ] as const) {
      // The engine finishes, but the answer is never written, as when the daemon is killed in between.
      const insert = api.repository.insertIdempotent.bind(api.repository);
      api.repository.insertIdempotent = async (row) =>
        row.status === 0 ? insert(row) : Promise.reject(new Error('killed'));
      const headers = { 'idempotency-key': path };
      assert.equal((await api.json('POST', path, { body, headers })).status, 500);
      api.repository.insertIdempotent = insert;
      const again = await api.json('POST', path, { body, headers });
      assert.equal(again.status, 201);
      assert.deepEqual(
        (again.body.sprites ?? [again.body]).map((sprite: Json) => sprite.name),
        made,
      );
    }
    // One that was there before the key was used is not taken for its work.
    await api.service.create(api.org, { name: 'old' });
    await new Promise((resolve) => setTimeout(resolve, 5));
    const headers = { 'idempotency-key': 'old' };
    for (let attempt = 0; attempt < 2; attempt++)
      assert.equal((await api.json('POST', '/v1/sprites', { body: { name: 'old' }, headers })).status, 409);
  });
});

async function refusal(api: ApiFixture, path: string): Promise<[number, string]> {
  const { status, body } = await api.socket(path).opened;
  return [status, body.error];
}

/** Status of a POST exactly as given: fetch would add a type of its own. */
function rawPost(api: ApiFixture, path: string, type: string | undefined, body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${api.token}`,
      'content-length': Buffer.byteLength(body),
      ...(type === undefined ? {} : { 'content-type': type }),
    };
    const request = httpRequest(`${api.url}${path}`, { method: 'POST', headers, agent: false }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    });
    request.on('error', reject);
    request.end(body);
  });
}
