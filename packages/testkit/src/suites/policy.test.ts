import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Api } from '../api.ts';
import { TestDaemon } from '../daemon.ts';
import { checkLeaks } from '../leaks.ts';
import { until } from '../shell.ts';

checkLeaks();

const file = '/.sprite/policy/network.json';

test('a host that cannot enforce policies takes none, and says so inside too', async () => {
  await using daemon = await TestDaemon.start({ settings: { network: 'user' } });
  const api = new Api(daemon);
  await api.create('box');
  const path = '/v1/sprites/box/policy/network';
  const rules = [{ domain: 'example.com', action: 'allow' }];
  for (const [method, where] of [
    ['POST', path],
    ['PUT', '/v1/policy/network'],
  ] as const) {
    const { status, body } = await api.call(method, where, { rules });
    assert.deepEqual([status, body.code], [409, 'policy_unenforceable']);
  }
  assert.deepEqual(await api.ok('GET', path), { rules: [], source: 'none' });

  const shown = (): Promise<string> => api.text('box', `cat ${file}`);
  await until('the policy to be shown', async () => (await shown().catch(() => '')) !== '');
  assert.deepEqual(JSON.parse(await shown()), { rules: [] });
  assert.equal(await api.text('box', `stat -c '%a %U' ${file}`), '444 root');
  assert.deepEqual(JSON.parse(await api.text('box', 'sprite-env curl /v1/policy/network')), { rules: [] });

  await api.text('box', `sudo sh -c 'echo mine >${file}'`);
  await api.ok('POST', path, { rules: [] });
  assert.deepEqual(JSON.parse(await shown()), { rules: [] }, 'a change writes what holds');
  await api.text('box', `sudo rm -r ${file}`);
  await api.ok('POST', '/v1/sprites/box/suspend');
  await api.ok('POST', '/v1/sprites/box/start');
  await until('the policy to be shown again', async () => (await shown().catch(() => '')) !== '');
  assert.deepEqual(JSON.parse(await shown()), { rules: [] }, 'a start writes what holds');
});
