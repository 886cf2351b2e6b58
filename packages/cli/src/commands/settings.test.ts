import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CliFixture, type Run } from '../testing/run-cli.ts';

let fixture: CliFixture;
before(async () => {
  fixture = await CliFixture.make();
});
after(() => fixture[Symbol.asyncDispose]());

const run = (...words: string[]): Promise<Run> => fixture.run(words);
const json = ({ stdout }: Run): unknown => JSON.parse(stdout.toString());

describe('config update', () => {
  test('changes what is named and nothing else', async () => {
    const { code, stdout } = await run('config', 'update', 'one', '--url-auth', 'public');
    assert.deepEqual([code, stdout.toString()], [0, 'one  updated\n']);
    assert.deepEqual(fixture.server.bodies.at(-1), { url_settings: { auth: 'public' } });
    await run('config', 'update', '-s', 'one', '--label', 'a', '--label', 'b', '--idle-timeout', '5m');
    assert.deepEqual(fixture.server.bodies.at(-1), { labels: ['a', 'b'], idle_timeout_s: 300 });
    const answer = json(await run('config', 'update', 'one', '--clear-labels', '--json')) as Record<string, unknown>;
    assert.deepEqual(fixture.server.bodies.at(-1), { clear_labels: true });
    assert.equal(answer['name'], 'one');
  });

  test('mistakes are wrong use', async () => {
    for (const options of [
      [],
      ['--url-auth', 'everybody'],
      ['--label', 'a', '--clear-labels'],
      ['--idle-timeout', '1500ms'],
    ])
      assert.equal((await run('config', 'update', 'one', ...options)).code, 2, options.join(' '));
    assert.equal((await run('config', 'update', 'none', '--url-auth', 'public')).code, 1);
  });
});

describe('org', () => {
  test('list shows the logins, and which is in use', async () => {
    const home = join(fixture.home, 'logins');
    const env = { HOME: home, SYLPH_URL: '', SYLPH_TOKEN: '' };
    assert.match((await fixture.run(['org', 'list'], { env })).stdout.toString(), /sylph login/);
    const { url, token } = fixture.server;
    assert.equal((await fixture.run(['auth', 'setup', url, '--token', token], { env })).code, 0);
    assert.equal((await fixture.run(['org', 'auth', url, '--token', token], { env })).code, 0);
    assert.equal(
      (await fixture.run(['orgs', 'ls'], { env })).stdout.toString(),
      `ORG   SERVER${' '.repeat(url.length - 4)}CURRENT\nacme  ${url}  yes\n`,
    );
    assert.deepEqual(json(await fixture.run(['org', 'list', '--json'], { env })), [
      { url, org: 'acme', current: true },
    ]);
    const both = await fixture.run(['org', 'list'], { env: { ...env, SYLPH_TOKEN: 'other' } });
    assert.match(both.stderr, /SYLPH_TOKEN is set/);
    assert.equal((await fixture.run(['org', 'logout'], { env })).code, 0);
    assert.deepEqual(json(await fixture.run(['org', 'list', '--json'], { env })), []);
  });
});

describe('checkpoint', () => {
  test('list asks for those the server made, and for what came of one', async () => {
    await run('checkpoint', 'list', '-s', 'one', '--include-auto', '--history', 'v1');
    assert.ok(fixture.server.requests.includes('GET /v1/sprites/one/checkpoints?includeAuto=true&history=v1'));
    await run('checkpoint', 'list', '-s', 'one');
    assert.equal(fixture.server.requests.at(-1), 'GET /v1/sprites/one/checkpoints');
  });

  test('restore is found there too', async () => {
    await run('checkpoint', 'create', '-s', 'one');
    const { code, stdout } = await run('checkpoint', 'restore', 'v0', '-s', 'one');
    assert.deepEqual([code, stdout.toString()], [0, 'one  is back at v0\n']);
  });
});

describe('exec --file', () => {
  test('the files are there before the command, however it is run', async () => {
    const remote = await fixture.server.files.at('/home/sprite');
    const tree = join(fixture.home, 'tree');
    await mkdir(tree);
    await writeFile(join(tree, 'in'), 'inside');
    await writeFile(join(fixture.home, 'single'), 'alone');
    const sent = ['--file', `${join(fixture.home, 'single')}:a`, '--file', `${tree}:b`];
    for (const more of [[], ['--http-post'], ['--json']]) {
      const { code, stdout } = await run('exec', '-s', 'one', ...sent, ...more, 'cat', `${remote}/a`, `${remote}/b/in`);
      assert.equal(code, 0);
      assert.match(stdout.toString(), /aloneinside/);
    }
    assert.equal(await readFile(join(remote, 'a'), 'utf8'), 'alone');
  });

  test('without the file nothing is run', async () => {
    const count = fixture.server.sessions.size;
    const missing = await run('exec', '-s', 'one', '--file', '/no/such:/tmp/x', 'true');
    assert.deepEqual([missing.code, missing.stderr], [1, 'sylph: /no/such: no such file or directory\n']);
    for (const text of ['x', ':x', 'x:'])
      assert.equal((await run('exec', '-s', 'one', '--file', text, 'true')).code, 2, text);
    assert.equal(fixture.server.sessions.size, count);
  });
});

test('the short names of the other client are known', async () => {
  assert.equal((await run('s', 'ls', '-s', 'one')).code, 0);
  assert.equal((await run('attach', '99', '-s', 'one')).code, 1);
  assert.equal((await run('jobs', 'logs', '1', '-s', 'one', '--stream', 'both')).code, 2);
});

test('completion offers them', async () => {
  const offered = async (...words: string[]): Promise<string[]> =>
    (await run('__complete', '--', ...words)).stdout
      .toString()
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split('\t')[0] ?? '');
  assert.deepEqual(await offered('config', 'update', '--url-auth', ''), ['public', 'sprite']);
  assert.deepEqual(await offered('org', ''), ['list', 'auth', 'logout']);
  assert.deepEqual(await offered('ap'), ['api']);
  assert.deepEqual(await offered('exec', '--fi'), ['--file']);
  assert.deepEqual(await offered('checkpoint', 'list', '-s', 'one', '--history', 'v'), ['v0']);
});
