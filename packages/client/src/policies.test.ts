import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serving } from './testing/serving.ts';

test('requests are as the server knows them', async () => {
  const requests: string[] = [];
  let answer: unknown = { rules: [], source: 'none' };
  await using fixture = await serving({}, (request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      requests.push(`${request.method} ${request.url} ${body}`.trimEnd());
      if (request.method === 'GET') response.end(JSON.stringify(answer));
      else response.writeHead(204).end();
    });
  });
  const { policies } = fixture.client;
  const policy = { rules: [{ include: 'defaults' as const }] };
  assert.deepEqual(await policies.network('one'), answer);
  await policies.setNetwork('one', policy);
  await policies.resetNetwork('one');
  assert.deepEqual(await policies.orgNetwork(), answer);
  await policies.setOrgNetwork(policy);
  await policies.resetOrgNetwork();
  await policies.privileges('one');
  await policies.setPrivileges('one', { profile: 'minimal' });
  await policies.removePrivileges('one');
  await policies.resources('one');
  await policies.setResources('one', { memory: { limit_mb: 512 } });
  await policies.removeResources('one');
  answer = { denials: [] };
  assert.deepEqual(await policies.networkLog('one', { limit: 5 }), []);
  answer = { domains: ['github.com'] };
  assert.deepEqual(await policies.defaults(), ['github.com']);
  await assert.rejects(policies.network('one'), { code: 'protocol' });
  await assert.rejects(policies.networkLog('one'), { code: 'protocol' });
  const base = '/v1/sprites/one/policy';
  assert.deepEqual(requests.slice(0, 14), [
    `GET ${base}/network`,
    `POST ${base}/network {"rules":[{"include":"defaults"}]}`,
    `DELETE ${base}/network`,
    'GET /v1/policy/network',
    'PUT /v1/policy/network {"rules":[{"include":"defaults"}]}',
    'DELETE /v1/policy/network',
    `GET ${base}/privileges`,
    `POST ${base}/privileges {"profile":"minimal"}`,
    `DELETE ${base}/privileges`,
    `GET ${base}/resources`,
    `POST ${base}/resources {"memory":{"limit_mb":512}}`,
    `DELETE ${base}/resources`,
    `GET ${base}/network/log?limit=5`,
    'GET /v1/policy/network/defaults',
  ]);
});
