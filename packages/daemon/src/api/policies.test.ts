import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { NetworkDenial } from '@sylph/model';
import { createToken } from '../auth/tokens.ts';
import { ApiFixture } from './testing/fixture.ts';

const rules = [
  { include: 'defaults' },
  { domain: '*.Example.com', action: 'allow', ports: [443] },
  { domain: 'ads.example.com', action: 'deny' },
  { cidr: '198.41.0.0/24', action: 'allow' },
];

describe('policies', () => {
  let api: ApiFixture;
  before(async () => {
    api = await ApiFixture.open();
    await api.sprite('one');
    await api.sprite('two');
  });
  after(() => api[Symbol.asyncDispose]());

  const network = '/v1/sprites/one/policy/network';
  const get = async (path = network) => (await api.json('GET', path)).body;

  it('sets, shows and takes back what a sprite may reach', async () => {
    assert.deepEqual(await get(), { rules: [], source: 'none' });
    const set = await api.request('POST', network, { body: { rules } });
    assert.deepEqual([set.status, await set.text()], [204, '']);
    assert.deepEqual(await get(), { rules, source: 'sprite' });
    const back = await api.request('POST', network, { body: await get() });
    assert.equal(back.status, 204, 'what was got can be set');
    assert.deepEqual(await get('/v1/sprites/two/policy/network'), { rules: [], source: 'none' });
    assert.equal((await api.request('DELETE', network)).status, 204);
    assert.equal((await api.request('DELETE', network)).status, 204);
    assert.deepEqual(await get(), { rules: [], source: 'none' });
  });

  it("falls back to the organization's, which is its own alone", async () => {
    const org = '/v1/policy/network';
    const own = [{ domain: 'example.org', action: 'allow' }];
    assert.deepEqual(await get(org), { rules: [] });
    assert.equal((await api.request('PUT', org, { body: { rules } })).status, 204);
    assert.deepEqual(await get(org), { rules });
    assert.deepEqual(await get(), { rules, source: 'organization' });
    await api.request('POST', network, { body: { rules: own } });
    assert.deepEqual(await get(), { rules: own, source: 'sprite' });
    await api.request('POST', network, { body: { rules: [] } });
    assert.deepEqual(await get(), { rules: [], source: 'sprite' }, 'no rules are a policy too');
    await api.request('DELETE', network);
    assert.deepEqual(await get(), { rules, source: 'organization' });

    const token = await createToken(api.repository, { org: 'other', description: 'test', expiresAt: null });
    const headers = { authorization: `Bearer ${token}` };
    assert.deepEqual((await api.json('GET', org, { headers })).body, { rules: [] });
    assert.equal((await api.json('GET', network, { headers })).status, 404);
    assert.equal((await api.json('POST', network, { headers, body: { rules: own } })).status, 404);
    assert.equal((await api.json('GET', `${network}/log`, { headers })).status, 404);
    assert.equal((await api.request('DELETE', org)).status, 204);
    assert.deepEqual(await get(), { rules: [], source: 'none' });
  });

  it('refuses what is no policy, or could never hold, and changes nothing', async () => {
    await api.request('POST', network, { body: { rules } });
    const bad: [unknown, RegExp][] = [
      [undefined, /body/],
      [[], /body/],
      [{}, /body rules/],
      [{ rules: 'all' }, /body rules/],
      [{ rules: [{ domain: 'example.com' }] }, /body rules\.0/],
      [{ rules: [{ domain: 'example.com', action: 'drop' }] }, /body rules\.0/],
      [{ rules: [{ domain: 'exa mple.com', action: 'allow' }] }, /body rules\.0/],
      [{ rules: [{ domain: 'a.*.com', action: 'allow' }] }, /body rules\.0/],
      [{ rules: [{ domain: `${'a.'.repeat(140)}com`, action: 'allow' }] }, /body rules\.0/],
      [{ rules: [{ domain: 'example.com', action: 'allow', ports: [0] }] }, /body rules\.0/],
      [{ rules: [{ domain: 'example.com', action: 'allow', ports: [] }] }, /body rules\.0/],
      [{ rules: [{ domain: 'example.com', action: 'allow', color: 'red' }] }, /body rules\.0/],
      [{ rules: [{ cidr: '1.2.3.0/33', action: 'allow' }] }, /body rules\.0/],
      [{ rules: [{ include: 'everything' }] }, /body rules\.0/],
      [{ rules: [], extra: 1 }, /extra/],
      [{ rules: Array.from({ length: 1_001 }, () => rules[0]) }, /body rules/],
      [
        { rules: [...rules, { cidr: '10.0.0.0/24', action: 'allow' }] },
        /body rules\.4: 10\.0\.0\.0\/24 .*network-allow/,
      ],
      [{ rules: [{ cidr: 'fd00::/8', action: 'allow' }] }, /body rules\.0: .*special range/],
      [{ rules: [{ domain: '1.2.3.4', action: 'allow' }] }, /"cidr":"1\.2\.3\.4"/],
      [{ rules: [{ domain: 'db.internal', action: 'allow' }] }, /local networks/],
      [{ rules: [{ domain: 'example.com', action: 'deny', ports: [22] }] }, /denied as a whole/],
    ];
    for (const [method, path] of [
      ['POST', network],
      ['PUT', '/v1/policy/network'],
    ] as const)
      for (const [body, says] of bad) {
        const answer = await api.json(method, path, { body });
        assert.equal(answer.status, 400, JSON.stringify(body)?.slice(0, 200));
        assert.match(answer.body.message, says);
      }
    assert.deepEqual(await get(), { rules, source: 'sprite' });
    assert.deepEqual(await get('/v1/policy/network'), { rules: [] });
    for (const path of [network, `${network}/log`, '/v1/sprites/one/policy/resources'])
      assert.equal((await api.json('GET', path.replace('one', 'none'))).status, 404);
    assert.equal((await api.json('GET', '/v1/sprites/one/policy/other')).status, 404);
    await api.request('DELETE', network);
  });

  it('refuses rules this host cannot enforce, but not to have none', async () => {
    api.service.policies.obstacle = 'its sprites use user-mode networking';
    const answer = await api.json('POST', network, { body: { rules } });
    assert.deepEqual([answer.status, answer.body.code], [409, 'policy_unenforceable']);
    assert.match(answer.body.message, /user-mode networking/);
    assert.equal((await api.json('PUT', '/v1/policy/network', { body: { rules } })).status, 409);
    assert.equal((await api.request('POST', network, { body: { rules: [] } })).status, 204);
    api.service.policies.obstacle = undefined;
    await api.request('DELETE', network);
  });

  it('tells what was denied', async () => {
    const denial = (target: string): NetworkDenial => ({
      kind: 'name',
      target,
      port: null,
      protocol: null,
      name: null,
      reason: 'policy',
      count: 2,
      first_at: '2026-01-31T12:20:24.123Z',
      last_at: '2026-01-31T12:21:24.123Z',
    });
    api.service.policies.recorded = [denial('a.example'), denial('b.example')];
    assert.deepEqual(await get(`${network}/log`), { denials: [denial('a.example'), denial('b.example')] });
    assert.deepEqual(await get(`${network}/log?limit=1`), { denials: [denial('a.example')] });
    for (const limit of ['0', '1001', 'x', '-1'])
      assert.equal((await api.json('GET', `${network}/log?limit=${limit}`)).status, 400, limit);
  });

  it('shows the defaults', async () => {
    const { domains } = await get('/v1/policy/network/defaults');
    assert.ok(domains.includes('github.com') && domains.includes('*.npmjs.org'));
  });

  it('keeps policies that change nothing, and says so', async () => {
    const privileges = '/v1/sprites/one/policy/privileges';
    const resources = '/v1/sprites/one/policy/resources';
    assert.deepEqual(Object.keys(await get(privileges)), ['effects']);
    const kept = { profile: 'minimal', devices: ['/dev/kvm'], noNewPrivileges: true };
    assert.equal((await api.request('POST', privileges, { body: kept })).status, 204);
    const { effects, ...shown } = await get(privileges);
    assert.deepEqual(shown, kept);
    assert.match(effects[0], /^none/);
    assert.equal((await api.request('POST', privileges, { body: { ...kept, effects } })).status, 204);

    const memory = { limit_mb: 1024, autoscale: true };
    assert.equal((await api.request('POST', resources, { body: { memory } })).status, 204);
    const small = await get(resources);
    assert.deepEqual(small.memory, memory);
    assert.match(small.effects.join(), /limit_mb: none.*autoscale: none/);
    await api.request('POST', resources, { body: { memory: { limit_mb: 2048 } } });
    assert.match((await get(resources)).effects.join(), /limit_mb: holds/);
    for (const [path, body] of [
      [privileges, { profile: 'root' }],
      [privileges, { capabilities: [] }],
      [resources, { memory: { limit_mb: 0 } }],
      [resources, { cpu: 1 }],
    ] as const)
      assert.equal((await api.json('POST', path, { body })).status, 400);
    for (const path of [privileges, resources]) {
      assert.equal((await api.request('DELETE', path)).status, 204);
      assert.deepEqual(Object.keys(await get(path)), ['effects']);
    }
  });
});
