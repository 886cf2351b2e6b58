import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, stat, writeFile, chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { CliFixture, mainFile, type Run } from './testing/run-cli.ts';

let fixture: CliFixture;

before(async () => {
  fixture = await CliFixture.make();
});
after(async () => {
  await fixture[Symbol.asyncDispose]();
});
beforeEach(() => {
  const { server } = fixture;
  Object.assign(server.faults, {
    silent: false,
    keepsOffsets: true,
    refuseExec: undefined,
    failStreams: false,
    stallStreams: false,
  });
  server.sprites.clear();
  server.addSprite('one');
});

const run = (...words: string[]): Promise<Run> => fixture.run(words);
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const json = ({ stdout }: Run): Record<string, unknown> => JSON.parse(stdout.toString()) as Record<string, unknown>;

describe('exec', () => {
  test("exit codes are the command's", async () => {
    for (const code of [0, 1, 2, 7, 126, 127, 255])
      assert.equal((await run('exec', '-s', 'one', 'sh', '-c', `exit ${code}`)).code, code);
    assert.equal((await run('exec', '-s', 'one', '--', 'sh', '-c', 'kill -9 $$')).code, 137);
  });

  test('stdout and stderr stay apart; options after the program are its own', async () => {
    const { stdout, stderr } = await run(
      'exec',
      '-s',
      'one',
      'sh',
      '-c',
      'echo "$0 $1"; echo e >&2',
      '--dir',
      '--json',
    );
    assert.deepEqual([stdout.toString(), stderr], ['--dir --json\n', 'e\n']);
  });

  test('10 MB of binary through stdin and back, unchanged, and the end of input', async () => {
    const input = randomBytes(10_000_000);
    const { stdout, code } = await fixture.run(['exec', '-s', 'one', 'cat'], { input });
    assert.deepEqual([code, stdout.length, sha256(stdout)], [0, input.length, sha256(input)]);
    const posted = await fixture.run(['exec', '-s', 'one', '--http-post', 'cat'], { input });
    assert.deepEqual([posted.code, sha256(posted.stdout)], [0, sha256(input)]);
  });

  test('does not wait for input that nobody needs', async () => {
    const child = fixture.spawn(['exec', '-s', 'one', 'echo', 'done']);
    // Its stdin stays open.
    const [code] = (await once(child, 'close')) as [number];
    assert.equal(code, 0);
    child.stdin.destroy();
  });

  test('the end of piped input reaches a terminal as Ctrl+D', async () => {
    const { stdout } = await fixture.run(['exec', '-s', 'one', '--tty', 'head', '-c', '3'], { input: 'ab' });
    assert.equal(stdout.toString(), 'ab\x04');
  });

  test('takes no input with --no-stdin', async () => {
    assert.equal((await fixture.run(['exec', '-s', 'one', '--no-stdin', 'cat'], { input: 'x' })).stdout.length, 0);
  });

  test('environment and directory: what was asked for and nothing else', async () => {
    const { stdout } = await fixture.run(
      [
        'exec',
        '-s',
        'one',
        '--dir',
        '/tmp',
        '--env',
        'A=1,B=x,y',
        '--env',
        'C=z',
        '--env',
        'ASKED',
        'sh',
        '-c',
        'pwd; env',
      ],
      { env: { ASKED: 'yes', SECRET: 'no' } },
    );
    const lines = stdout.toString().split('\n');
    for (const line of ['/tmp', 'A=1', 'B=x,y', 'C=z', 'ASKED=yes']) assert.ok(lines.includes(line), line);
    assert.ok(!stdout.toString().includes('SECRET'));
    assert.equal((await run('exec', '-s', 'one', '--env', '=x', 'true')).code, 2);
  });

  test('SIGINT and SIGTERM reach the command, whose end decides', async () => {
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      const child = fixture.spawn(['exec', '-s', 'one', 'sh', '-c', 'echo ready; exec sleep 60']);
      await once(child.stdout, 'data');
      child.kill(signal);
      assert.deepEqual(await once(child, 'close'), [code, null]);
    }
  });

  test('three times Ctrl+C leaves a command that ignores it', async () => {
    const child = fixture.spawn(['exec', '-s', 'one', 'sh', '-c', 'trap "" INT; echo ready; sleep 60']);
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    await once(child.stdout, 'data');
    const closed = once(child, 'close');
    for (let count = 0; count < 3; count++) {
      child.kill('SIGINT');
      await sleep(100);
    }
    assert.deepEqual(await closed, [null, 'SIGINT']);
    assert.match(stderr, /Ctrl\+C once more leaves it/);
  });

  test('says so when its output cannot be written', async () => {
    const full = `exec "$0" "$@" >/dev/full`;
    for (const words of [
      ['exec', '-s', 'one', 'echo', 'hello'],
      ['list'],
      ['list', '--json'],
      ['--help'],
      ['list', '--help'],
      ['--version'],
    ]) {
      const failure = await promisify(execFile)('sh', ['-c', full, process.execPath, mainFile, ...words], {
        env: fixture.env,
        cwd: fixture.home,
      }).then(
        () => assert.fail('it succeeded'),
        (thrown: { code: number; stderr: string }) => thrown,
      );
      assert.equal(failure.code, 1);
      assert.match(failure.stderr, /^sylph: the output could not be written: ENOSPC[^\n]*\n$/);
    }
  });

  test('ends quietly with 141 when nobody reads any more, and the command with it', async () => {
    const child = fixture.spawn(['exec', '-s', 'one', 'yes']);
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    await once(child.stdout, 'data');
    child.stdout.destroy();
    assert.deepEqual(await once(child, 'close'), [141, null]);
    assert.equal(stderr, '');
    assert.equal(await [...fixture.server.sessions.values()].at(-1)?.exited, 129);
  });

  test('goes on after a dropped connection', async () => {
    const child = fixture.spawn([
      'exec',
      '-s',
      'one',
      'sh',
      '-c',
      'for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done; exit 9',
    ]);
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      if (text === '') fixture.server.drop();
      text += chunk.toString();
    });
    assert.deepEqual(await once(child, 'close'), [9, null]);
    assert.equal(text, '1\n2\n3\n4\n5\n6\n7\n8\n');
  });
});

describe('failures', () => {
  test('one sentence, one hint, exit code 1', async () => {
    const { code, stderr, stdout } = await run('info', 'none');
    assert.deepEqual(
      [code, stdout.toString(), stderr],
      [1, '', 'sylph: sprite not found\nhint:  list them with `sylph list`\n'],
    );
  });

  test('wrong use is 2, with a suggestion', async () => {
    const wrong = await run('lits');
    assert.deepEqual([wrong.code, wrong.stderr], [2, "sylph: unknown command 'lits'\nhint:  Did you mean list?\n"]);
    assert.match((await run('list', '--prefx', 'a')).stderr, /Did you mean --prefix\?/);
    for (const words of [
      ['exec', '-s', 'one'],
      ['destroy', 'one'],
      ['create', '--cpus', 'x'],
      ['create', '--ram', '1.5'],
      ['create', '--from', ':v1'],
      ['console', '-s', 'one'],
      ['completion', 'csh'],
      ['checkpoint'],
      ['fork', 'f', '-s', 'one', '--count', '0'],
    ]) {
      assert.equal((await run(...words)).code, 2, words.join(' '));
    }
  });

  test('without a login it says how to log in', async () => {
    const { code, stderr } = await fixture.run(['list'], { env: { SYLPH_TOKEN: '', SYLPH_URL: 'http://127.0.0.1:9' } });
    assert.equal(code, 1);
    assert.match(stderr, /not logged in at http:\/\/127\.0\.0\.1:9\nhint: {2}run: sylph login/);
  });

  test('a server that is not there', async () => {
    const { code, stderr } = await fixture.run(['list'], { env: { SYLPH_URL: 'http://127.0.0.1:1' } });
    assert.equal(code, 1);
    assert.match(stderr, /no server answers at http:\/\/127\.0\.0\.1:1/);
  });

  test('SIGINT ends whatever is waited for', async () => {
    fixture.server.faults.silent = true;
    for (const words of [
      ['list'],
      ['exec', '-s', 'one', 'true'],
      ['checkpoint', 'create', '-s', 'one'],
      ['exec', '-s', 'one', '--http-post', 'true'],
    ]) {
      const count = fixture.server.requests.length;
      const child = fixture.spawn(words);
      while (fixture.server.requests.length === count) await sleep(10);
      child.kill('SIGINT');
      assert.deepEqual(await once(child, 'close'), [null, 'SIGINT'], words.join(' '));
    }
    fixture.server.drop();
  });

  test("a failed stream tells the server's reason", async () => {
    fixture.server.faults.failStreams = true;
    const { code, stderr } = await run('checkpoint', 'create', '-s', 'one');
    assert.deepEqual([code, stderr], [1, 'sylph: the pool is full\nhint:  delete something\n']);
  });
});

describe('--json', () => {
  test('every command prints one document and nothing else', async () => {
    const on = ['-s', 'one', '--json'];
    const server = fixture.env['SYLPH_URL'] as string;
    const session = async (): Promise<string> => (
      fixture.spawn(['exec', '-s', 'one', 'sh', '-c', 'echo hi; sleep 1; exit 3']),
      await sleep(700),
      [...fixture.server.sessions.keys()].at(-1) ?? ''
    );
    const commands: (string[] | (() => Promise<string[]>))[] = [
      [
        'create',
        'two',
        '--json',
        '--label',
        'a',
        '--cpus',
        '1',
        '--ram',
        '1G',
        '--storage',
        '10',
        '--env',
        'A=b',
        '--idle-timeout',
        '0',
      ],
      ['create', 'three', '--json', '--from', 'one:v1'],
      ['list', '--json'],
      ['info', 'one', '--json'],
      ['use', 'one', '--json'],
      ['use', '--json'],
      ['use', '--unset', '--json'],
      ['exec', ...on, 'echo', 'x'],
      ['exec', ...on, '--http-post', 'echo', 'x'],
      ['sessions', 'list', ...on],
      async () => ['sessions', 'attach', await session(), ...on],
      async () => ['sessions', 'kill', await session(), ...on, '--signal', 'KILL'],
      ['checkpoint', 'create', ...on, '-m', 'first'],
      ['checkpoint', 'list', ...on],
      ['checkpoint', 'info', 'v0', ...on],
      ['restore', 'v0', ...on],
      ['checkpoint', 'delete', 'v0', ...on],
      ['fork', 'f', ...on, '--count', '2'],
      ...['start', 'suspend', 'restart', 'upgrade', 'recover', 'check'].map((name) => [name, 'one', '--json']),
      ['host', '--json'],
      ['doctor', '--json'],
      ['completion', 'bash', '--json'],
      ['version', '--json'],
      ['config', 'update', 'one', '--json', '--idle-timeout', '60'],
      ['api', '/v1/host', '--json'],
      ['login', server, '--token', fixture.server.token, '--json'],
      ['org', 'list', '--json'],
      ['logout', '--json', '--url', server],
      ['destroy', 'two', '--force', '--json'],
      // And their failures.
      ['console', ...on],
      ['destroy', 'three', '--json'],
      ['info', 'none', '--json'],
      ['nonsense', '--json'],
    ];
    for (const each of commands) {
      const words = typeof each === 'function' ? await each() : each;
      const result = await run(...words);
      assert.doesNotThrow(() => json(result), `${words.join(' ')}: ${result.stdout.toString()}`);
      assert.equal(result.stderr, '', words.join(' '));
    }
  });

  test('shapes', async () => {
    assert.deepEqual(json(await run('exec', '--json', '-s', 'one', 'sh', '-c', 'echo out; echo err >&2; exit 5')), {
      sprite: 'one',
      session_id: [...fixture.server.sessions.keys()].at(-1),
      exit_code: 5,
      encoding: 'utf-8',
      stdout: 'out\n',
      stderr: 'err\n',
    });
    const binary = await run('exec', '--json', '-s', 'one', 'printf', String.raw`\377`);
    assert.deepEqual([json(binary).encoding, json(binary).stdout], ['base64', '/w==']);
    assert.deepEqual(json(await run('info', 'none', '--json')), {
      error: 'sprite not found',
      message: 'sprite not found',
      code: 'sprite_not_found',
      hint: 'list them with `sylph list`',
      retryable: false,
    });
    assert.deepEqual(
      Object.values(json(await run('list', '--json'))).map((sprite) => (sprite as { name: string }).name),
      ['one'],
    );
    assert.equal((await run('create', 'x', '--json', '--ram', '2G', '--storage', '40G')).code, 0);
    assert.deepEqual(fixture.server.bodies.at(-1), { name: 'x', config: { ram_mb: 2048, storage_gb: 40 } });
  });
});

describe('choosing', () => {
  test('login says so where nothing can be kept', async () => {
    const env = { HOME: '/proc/x', SYLPH_URL: '', SYLPH_TOKEN: '' };
    const { code, stderr } = await fixture.run(['login', fixture.server.url, '--token', fixture.server.token], { env });
    assert.equal(code, 1);
    assert.match(stderr, /^sylph: \/proc\/x\/\.config\/sylph\/config\.json cannot be written: ENOENT[^\n]*\nhint: /);
  });

  test('login keeps the token for its owner only; -o and the current one choose', async () => {
    const home = join(fixture.home, 'login');
    const env = { HOME: home, SYLPH_URL: '', SYLPH_TOKEN: '' };
    const { url, token } = fixture.server;
    assert.equal((await fixture.run(['login', `${url}/`, '--token', '-'], { env, input: `${token}\n` })).code, 0);
    const path = join(home, '.config/sylph/config.json');
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    const config = JSON.parse(await readFile(path, 'utf8')) as unknown;
    assert.deepEqual(config, {
      version: 1,
      current: { url, org: 'acme' },
      servers: { [url]: { orgs: { acme: { token } } } },
    });
    assert.equal((await fixture.run(['list'], { env })).code, 0);
    assert.equal((await fixture.run(['list', '-o', 'acme'], { env })).code, 0);
    assert.match(
      (await fixture.run(['list', '-o', 'other'], { env })).stderr,
      /not logged in to the organization other/,
    );
    // A token of the other service does not push the login aside.
    assert.equal((await fixture.run(['list'], { env: { ...env, SPRITE_TOKEN: 'foreign' } })).code, 0);
    assert.equal(
      (await fixture.run(['list'], { env: { ...env, SPRITE_TOKEN: 'foreign', SPRITES_API_URL: url } })).code,
      1,
    );
    assert.equal((await fixture.run(['list'], { env: { ...env, SPRITE_TOKEN: token, SPRITES_API_URL: url } })).code, 0);
    assert.equal((await fixture.run(['login', url, '--token', 'wrong'], { env })).code, 1);
    await chmod(path, 0o644);
    assert.match(
      (await fixture.run(['doctor'], { env })).stdout.toString(),
      /! configuration: .* can be read by others\n {2}remedy: chmod 600/,
    );
    await writeFile(path, '{');
    assert.match((await fixture.run(['list'], { env })).stderr, /is damaged/);
    assert.equal((await fixture.run(['doctor'], { env })).code, 1);
  });

  test('the .sprite file counts below its directory; a directory of that name does not', async () => {
    const outer = join(fixture.home, 'project');
    const inner = join(outer, 'deep/er');
    await mkdir(join(inner, '.sprite'), { recursive: true });
    const inDirectory = (cwd: string, ...words: string[]): Promise<Run> => fixture.run(words, { cwd });
    assert.equal((await inDirectory(inner, 'info')).code, 2);
    assert.equal((await inDirectory(outer, 'use', 'one')).code, 0);
    assert.deepEqual(JSON.parse(await readFile(join(outer, '.sprite'), 'utf8')), {
      organization: 'acme',
      sprite: 'one',
    });
    assert.equal(json(await inDirectory(inner, 'info', '--json')).name, 'one');
    assert.equal(
      json(await fixture.run(['use', '--json'], { cwd: inner, env: { SYLPH_SPRITE: 'other' } })).sprite,
      'other',
    );
    assert.match((await inDirectory(inner, 'use', 'one')).stderr, /is a directory/);
    assert.equal((await inDirectory(inner, 'use', '--unset')).code, 0);
    assert.equal((await inDirectory(inner, 'info')).code, 2);
    assert.equal((await inDirectory(outer, 'info', 'one', '-s', 'two')).code, 2);
  });
});

describe('for people', () => {
  test('columns are aligned by display width, without colours where there is no terminal', async () => {
    fixture.server.addSprite('wide', { labels: ['日本語'], status: 'running', state: 'running' });
    fixture.server.addSprite('zz', { labels: ['plain'] });
    const { stdout } = await run('list');
    const lines = stdout.toString().split('\n');
    assert.match(lines[0] ?? '', /^NAME  STATUS   IMAGE    CPUS       RAM    DISK  LABELS  CREATED$/);
    assert.match(lines[2] ?? '', /^wide  running  minimal     2  2048 MiB  20 GiB  日本語  \d+ s ago$/);
    assert.match(lines[3] ?? '', /^zz    cold     minimal     2  2048 MiB  20 GiB  plain   \d+ s ago$/);
  });

  test('text of others cannot act on the terminal', async () => {
    fixture.server.addSprite('evil', { labels: ['\x1b[2Jx\r\ny'] });
    assert.ok(!(await run('list')).stdout.includes('\x1b'));
    assert.ok(!(await run('info', 'evil')).stdout.includes('\x1b'));
  });

  test('empty lists say what to do', async () => {
    fixture.server.sprites.clear();
    assert.match((await run('list')).stdout.toString(), /sylph create/);
    fixture.server.addSprite('one');
    await fixture.server.endSessions();
    assert.match((await run('checkpoint', 'list', '-s', 'one')).stdout.toString(), /sylph checkpoint create/);
    assert.match((await run('sessions', 'list', '-s', 'one')).stdout.toString(), /sylph console/);
  });

  test('list -w ends when nobody reads any more', async () => {
    const child = fixture.spawn(['list', '-w', '--json']);
    await once(child.stdout, 'data');
    child.stdout.destroy();
    fixture.server.addSprite('new');
    assert.deepEqual(await once(child, 'close'), [141, null]);
  });

  test('doctor: remedies and exit code', async () => {
    const good = await run('doctor');
    assert.equal(good.code, 0);
    assert.match(good.stdout.toString(), /✓ token: from SYLPH_TOKEN, organization acme/);
    const bad = await fixture.run(['doctor'], { env: { SYLPH_TOKEN: 'wrong' } });
    assert.equal(bad.code, 1);
    assert.match(bad.stdout.toString(), /✗ token: authentication failed\n {2}remedy: /);
    assert.equal((await fixture.run(['doctor'], { env: { SYLPH_URL: 'http://127.0.0.1:1' } })).code, 1);
  });
});

describe('completion', () => {
  const offered = async (...words: string[]): Promise<string[]> =>
    (await run('__complete', '--', ...words)).stdout
      .toString()
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split('\t')[0] ?? '');

  test('commands, options, values, names', async () => {
    assert.deepEqual(await offered('res'), ['restore', 'restart']);
    assert.deepEqual(await offered('checkpoint', 'cr'), ['create']);
    assert.deepEqual(await offered('exec', '--tt'), ['--tty']);
    assert.deepEqual(await offered('exec', '--no-'), ['--no-port-forward', '--no-stdin']);
    assert.deepEqual(await offered('exec', '-s', 'o'), ['one']);
    assert.deepEqual(await offered('info', ''), ['one']);
    assert.deepEqual(await offered('exec', '-s', 'one', 'ls', '--'), []);
    assert.deepEqual(await offered('sessions', 'kill', '--signal', 'K'), ['KILL']);
    assert.deepEqual(await offered('completion', 'z'), ['zsh']);
    assert.ok(!(await offered('')).includes('__complete'));
  });

  test('the script for bash offers them', async () => {
    const bin = join(fixture.home, 'bin');
    await mkdir(bin, { recursive: true });
    await writeFile(join(bin, 'sylph'), `#!/bin/sh\nexec '${process.execPath}' '${mainFile}' "$@"\n`, { mode: 0o755 });
    const line = (words: string): string =>
      `COMP_WORDS=(sylph ${words}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _sylph; echo "\${COMPREPLY[*]}"`;
    const script = `source <(sylph completion bash); ${line('check')}; ${line("info ''")}; ${line('exec --d')}`;
    const { stdout } = await promisify(execFile)('bash', ['--norc', '-c', script], {
      env: { ...fixture.env, PATH: `${bin}:${fixture.env['PATH']}` },
    });
    assert.equal(stdout, 'checkpoint check\none\n--dir\n');
  });

  test('an unreachable server offers nothing and says nothing', async () => {
    const result = await fixture.run(['__complete', '--', 'info', ''], { env: { SYLPH_URL: 'http://127.0.0.1:1' } });
    assert.deepEqual([result.code, result.stdout.length, result.stderr], [0, 0, '']);
  });
});
