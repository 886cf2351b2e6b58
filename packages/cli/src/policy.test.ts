import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { CliFixture, type Run } from './testing/run-cli.ts';

const rules = [
  { include: 'defaults' },
  { domain: '*.example.com', action: 'allow', ports: [80, 443] },
  { cidr: '198.41.0.0/24', action: 'deny' },
];
const denial = (target: string, more: object = {}) => ({
  kind: 'name',
  target,
  port: null,
  protocol: null,
  name: null,
  reason: 'policy',
  count: 2,
  first_at: '2026-01-31T12:20:24.123Z',
  last_at: '2026-01-31T12:21:24.123Z',
  ...more,
});

const requests: string[] = [];
/** Answers of GET, by path. */
let answers: Record<string, unknown> = {};
let fixture: CliFixture;
const server = createServer((request: IncomingMessage, response: ServerResponse) => {
  let body = '';
  request.on('data', (chunk: Buffer) => (body += chunk.toString()));
  request.on('end', () => {
    if (request.method !== 'GET') requests.push(`${request.method} ${request.url} ${body}`.trimEnd());
    const answer = answers[request.url ?? ''];
    response.writeHead(request.method === 'GET' ? 200 : 204);
    response.end(request.method === 'GET' ? JSON.stringify(answer) : undefined);
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

const own = '/v1/sprites/one/policy/network';
const env = () => ({ SYLPH_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, SYLPH_SPRITE: 'one' });
const sent = () => requests.map((line) => line.replace(/\{.*/, (json) => JSON.stringify(JSON.parse(json))));

/** Runs `sylph policy …` against a server that answers this way. */
async function run(given: Record<string, unknown>, words: string[], input?: string): Promise<Run> {
  answers = given;
  requests.length = 0;
  return fixture.run(['policy', ...words], { env: env(), ...(input === undefined ? {} : { input }) });
}

test('get shows the rules, and whose they are', async () => {
  const { stdout } = await run({ [own]: { rules, source: 'organization' } }, ['get']);
  assert.equal(
    stdout.toString(),
    `one may reach what these rules allow by its organization's policy, and nothing else
ACTION  TARGET         PORTS
allow   the defaults   -
allow   *.example.com  80,443
deny    198.41.0.0/24  all
`,
  );
  const none = await run({ '/v1/policy/network': { rules: [] } }, ['get', '--org-wide']);
  assert.equal(none.stdout.toString(), 'the organization may reach the internet: there are no rules\n');
  const json = await run({ [own]: { rules, source: 'sprite' } }, ['get', '--json']);
  assert.deepEqual(JSON.parse(json.stdout.toString()), { rules, source: 'sprite' });
});

test('set takes a file or stdin, whole or its rules alone, and the defaults', async () => {
  const file = join(fixture.home, 'policy.json');
  await writeFile(file, JSON.stringify({ rules, source: 'sprite' }));
  await run({}, ['set', file]);
  assert.deepEqual(sent(), [`POST ${own} ${JSON.stringify({ rules })}`]);
  await run({}, ['set', '--org-wide'], JSON.stringify(rules));
  assert.deepEqual(sent(), [`PUT /v1/policy/network ${JSON.stringify({ rules })}`]);
  await run({}, ['set', '--defaults']);
  assert.deepEqual(sent(), [`POST ${own} {"rules":[{"include":"defaults"}]}`]);
  for (const [words, input] of [
    [['set', '-'], 'no json'],
    [['set', '-'], '{"rule":[]}'],
    [['set', join(fixture.home, 'none.json')], ''],
  ] as const) {
    const refused = await run({}, [...words], input);
    assert.ok(refused.code !== 0 && refused.stderr !== '', refused.stderr);
    assert.deepEqual(requests, []);
  }
});

test('allow, deny and remove change the rules there are', async () => {
  const policy = { [own]: { rules, source: 'sprite' } };
  await run(policy, ['allow', 'foo.dev:443', '198.41.0.0/24']);
  const added = [
    ...rules.slice(0, 2),
    { domain: 'foo.dev', action: 'allow', ports: [443] },
    { cidr: '198.41.0.0/24', action: 'allow' },
  ];
  assert.deepEqual(
    sent().map((line) => JSON.parse(line.slice(line.indexOf('{')))),
    [{ rules: added }],
  );
  await run(policy, ['deny', '*.example.com']);
  assert.deepEqual(sent(), [
    `POST ${own} ${JSON.stringify({ rules: [rules[0], rules[2], { domain: '*.example.com', action: 'deny' }] })}`,
  ]);
  await run(policy, ['remove', '--defaults', '198.41.0.0/24']);
  assert.deepEqual(sent(), [`POST ${own} ${JSON.stringify({ rules: [rules[1]] })}`]);
  const first = await run({ [own]: { rules: [], source: 'none' } }, ['allow', '--defaults']);
  assert.match(first.stderr, /first rules/);
  const inherited = await run({ [own]: { rules, source: 'organization' } }, ['allow', 'foo.dev']);
  assert.match(inherited.stderr, /a policy of its own now/);
  for (const words of [
    ['remove', 'other.dev'],
    ['allow'],
    ['deny', 'http://x'],
    ['remove', '--defaults', '198.41.0.0/24', '*.example.com'],
  ]) {
    const refused = await run(policy, words);
    assert.ok(refused.code !== 0 && refused.stderr !== '', words.join(' '));
    assert.deepEqual(requests, [], words.join(' '));
  }
});

test('reset takes it back', async () => {
  const { stdout } = await run({ [own]: { rules: [], source: 'none' } }, ['reset']);
  assert.deepEqual(requests, [`DELETE ${own}`]);
  assert.match(stdout.toString(), /may reach the internet/);
  await run({ '/v1/policy/network': { rules: [] } }, ['reset', '--org-wide']);
  assert.deepEqual(requests, ['DELETE /v1/policy/network']);
});

test('defaults are listed', async () => {
  const { stdout } = await run({ '/v1/policy/network/defaults': { domains: ['github.com', '*.npmjs.org'] } }, [
    'defaults',
  ]);
  assert.equal(stdout.toString(), 'github.com\n*.npmjs.org\n');
});

test('log shows what was denied, aligned', async () => {
  const denials = [
    denial('2606:4700::1', { kind: 'address', port: 25, protocol: 'tcp', name: 'mail.example', count: 12 }),
    denial('evil.example'),
  ];
  const { stdout } = await run({ [`${own}/log`]: { denials } }, ['log']);
  const lines = stdout
    .toString()
    .split('\n')
    .map((line) => line.replace(/^\d+ \w+ ago +/, 'AGO '));
  assert.deepEqual(
    lines.map((line) => line.replace(/ +/g, ' ')),
    [
      'LAST COUNT TARGET NAME REASON',
      'AGO 12 [2606:4700::1]:25/tcp mail.example policy',
      'AGO 2 evil.example - policy',
      '',
    ],
  );
  const json = await run({ [`${own}/log?limit=7`]: { denials } }, ['log', '--json', '-n', '7']);
  assert.deepEqual(JSON.parse(json.stdout.toString()), denials);
  const none = await run({ [`${own}/log`]: { denials: [] } }, ['log']);
  assert.equal(none.stdout.toString(), 'one was denied nothing\n');
});

test('log --follow goes on with what comes', async () => {
  answers = {
    [`${own}/log`]: { denials: [denial('a.example')] },
    [`${own}/log?limit=1000`]: { denials: [denial('a.example'), denial('old.example')] },
  };
  const child = fixture.spawn(['policy', 'log', '-f', '--json'], { env: env() });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const until = async (count: number) => {
    while (text.split('\n').length <= count) await once(child.stdout, 'data', { signal: AbortSignal.timeout(10_000) });
  };
  await until(1);
  answers[`${own}/log?limit=1000`] = {
    denials: [denial('a.example', { count: 3 }), denial('new.example'), denial('old.example')],
  };
  await until(3);
  child.kill();
  await once(child, 'close');
  const told = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { target: string; count: number });
  assert.deepEqual(
    told.map(({ target, count }) => [target, count]),
    [
      ['a.example', 2],
      ['new.example', 2],
      ['a.example', 3],
    ],
  );
});
