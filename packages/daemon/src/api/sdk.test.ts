import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { APIError, ExecError, SpritesClient, type Sprite, type SpriteCommand } from '@fly/sprites';
import { useAgentApi } from './testing/agent-api.ts';
import type { AgentService } from './testing/agent-service.ts';
import { type ApiFixture, eventually, type Json } from './testing/fixture.ts';

/** The official client, unmodified, against this API with real processes. */
describe('the official JavaScript client', () => {
  let api: ApiFixture<AgentService>;
  let client: SpritesClient;
  let sprite: Sprite;

  useAgentApi(async (opened) => {
    api = opened;
    client = new SpritesClient(api.token, { baseURL: api.url });
    sprite = await client.createSprite('one', { labels: ['a'] });
  });

  it('manages sprites', async () => {
    assert.equal(sprite.name, 'one');
    assert.equal(sprite.organizationName, 'acme');
    assert.ok(sprite.createdAt instanceof Date);
    for (let index = 0; index < 55; index++) await client.createSprite(`many-${index}`);
    assert.equal((await client.listAllSprites('many-')).length, 55);
    assert.equal((await client.listSprites({ prefix: 'many-', maxResults: 10 })).hasMore, true);
    const updated = await client.updateSprite('one', { labels: ['b'], urlSettings: { auth: 'public' } });
    assert.deepEqual([updated.labels, updated.urlSettings?.auth], [['b'], 'public']);
    assert.equal((await client.getSprite('one')).name, 'one');
    assert.equal((await client.restartSprite('one')).spriteName, 'one');
    await client.upgradeSprite('one');
    assert.equal((await client.checkSprite('one')).spriteName, 'one');
    await client.deleteSprite('many-0');
    await assert.rejects(client.getSprite('many-0'), (error) => error instanceof APIError && error.statusCode === 404);
    await assert.rejects(
      client.createSprite('one'),
      (error) => error instanceof APIError && error.statusCode === 409 && /already exists/.test(error.message),
    );
    await assert.rejects(
      client.createSprite('Not OK'),
      (error) =>
        error instanceof APIError && error.statusCode === 400 && /invalid sprite name format/.test(error.message),
    );
    await assert.rejects(new SpritesClient('bad', { baseURL: api.url }).getSprite('one'), /authentication failed/);
  });

  it('runs commands, again and again without losing a byte', async () => {
    assert.equal((await sprite.exec('echo hello')).stdout, 'hello\n');
    for (let index = 0; index < 30; index++) {
      const { stdout, stderr, exitCode } = await sprite.execFile('sh', [
        '-c',
        `echo out-${index}; echo err-${index} >&2`,
      ]);
      assert.deepEqual([stdout, stderr, exitCode], [`out-${index}\n`, `err-${index}\n`, 0]);
    }
    await assert.rejects(
      sprite.execFile('sh', ['-c', 'echo some; exit 42']),
      (error) => error instanceof ExecError && error.exitCode === 42 && error.stdout === 'some\n',
    );
    const big = await sprite.execFile('sh', ['-c', 'head -c 3000000 /dev/zero | tr "\\\\0" x'], {
      maxBuffer: 10_000_000,
    });
    assert.equal(big.stdout.length, 3_000_000);
    const { stdout } = await sprite.execFile('sh', ['-c', 'echo $A $HOME $LANG $PATH; pwd'], {
      env: { A: 'b c' },
      cwd: '/tmp',
    });
    assert.equal(
      stdout,
      'b c /home/sprite C.UTF-8 /home/sprite/.local/bin:/.sprite/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n/tmp\n',
    );
  });

  it('tells programs that cannot start', async () => {
    await assert.rejects(
      sprite.execFile('no-such-program'),
      (error) => error instanceof ExecError && error.exitCode === 127 && /no-such-program/.test(String(error.stderr)),
    );
    await assert.rejects(
      sprite.execFile('/etc/passwd'),
      (error) => error instanceof ExecError && error.exitCode === 126,
    );
    await assert.rejects(
      sprite.execFile('ls', [], { cwd: '/no/such/place' }),
      (error) => error instanceof ExecError && /no\/such\/place/.test(String(error.stderr)),
    );
  });

  it('pipes input through, and signals', async () => {
    const bytes = randomBytes(500_000);
    const cat = sprite.spawn('cat');
    const output: Buffer[] = [];
    cat.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    await started(cat);
    cat.stdin.write(bytes);
    cat.stdin.end();
    assert.equal(await cat.wait(), 0);
    assert.ok(Buffer.concat(output).equals(bytes));

    const sleep = sprite.spawn('sleep', ['60']);
    await started(sleep);
    await eventually(() => api.service.calls.length > 0);
    sleep.kill('SIGTERM');
    assert.equal(await sleep.wait(), 143);
  });

  it('runs terminals', async () => {
    const shell = sprite.spawn('sh', ['-c', 'stty size; read line; echo "got $line"; exit 3'], {
      tty: true,
      cols: 100,
      rows: 30,
    });
    let text = '';
    let exitMessage: Json;
    shell.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    shell.on('message', (message: Json) => {
      if (message.type === 'exit') exitMessage = message;
    });
    await started(shell);
    await eventually(() => text.includes('30 100'));
    shell.stdin.write('word\r');
    assert.equal(await shell.wait(), 1);
    assert.equal(exitMessage.exit_code, 3);
    assert.match(text, /got word/);
    const good = sprite.spawn('true', [], { tty: true });
    await started(good);
    assert.equal(await good.wait(), 0);
  });

  it('lists, attaches to and kills sessions', async () => {
    const session = sprite.createSession('sh', ['-c', 'echo first; read line; echo "second $line"; sleep 60']);
    await started(session);
    const [listed] = await sprite.listSessions();
    assert.ok(listed);
    assert.match(listed.command ?? '', /sh -c echo first/);
    assert.equal(listed.isActive, true);
    const attached = sprite.attachSession(listed.id);
    let text = '';
    attached.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await started(attached);
    attached.stdin.write('word\r');
    await eventually(() => text.includes('second word'));
    assert.match(text, /first/);
    const lines = [];
    for await (const line of await sprite.killSession(listed.id, 'SIGHUP', '5s')) lines.push(line);
    assert.deepEqual(
      lines.map(({ type }) => type),
      ['signal', 'exited', 'complete'],
    );
    assert.equal(lines.at(-1)?.exitCode, 129);
    assert.equal(await session.wait(), 1);
    assert.equal(await attached.wait(), 1);
    assert.deepEqual(await sprite.listSessions(), []);
    await assert.rejects(
      sprite.killSession(listed.id),
      (error) => error instanceof APIError && error.statusCode === 410,
    );
    await assert.rejects(sprite.killSession('999'), (error) => error instanceof APIError && error.statusCode === 404);
  });

  it('gets every frame of HTTP exec by itself', async () => {
    for (let index = 0; index < 15; index++) {
      const { stdout, stderr, exitCode } = await sprite.execFileHTTP('sh', [
        '-c',
        `echo out-${index}; echo err-${index} >&2; echo more`,
      ]);
      assert.deepEqual([stdout, stderr, exitCode], [`out-${index}\nmore\n`, `err-${index}\n`, 0]);
    }
    const input = randomBytes(300_000);
    const { stdout } = await sprite.execFileHTTP('cat', [], { input, encoding: 'latin1' });
    assert.ok(Buffer.from(stdout as string, 'latin1').equals(input));
    await assert.rejects(
      sprite.execFileHTTP('sh', ['-c', 'exit 9']),
      (error) => error instanceof ExecError && error.exitCode === 9,
    );
    await assert.rejects(
      new SpritesClient(api.token, { baseURL: api.url }).sprite('none').execFileHTTP('ls'),
      (error) => error instanceof APIError && error.statusCode === 404,
    );
  });

  it('makes, lists and restores checkpoints', async () => {
    const created = [];
    for await (const message of await sprite.createCheckpoint('first')) created.push(message);
    assert.equal(created.at(-1)?.type, 'complete');
    const listed = await sprite.listCheckpoints();
    assert.deepEqual(
      listed.map(({ id }) => id),
      ['Current', 'v0'],
    );
    assert.ok(listed.every(({ createTime }) => createTime instanceof Date));
    assert.equal((await sprite.getCheckpoint('v0')).comment, 'first');
    const restored = [];
    for await (const message of await sprite.restoreCheckpoint('v0')) restored.push(message);
    assert.equal(restored.at(-1)?.data, 'Restore from v0 complete');
    const unknown = [];
    for await (const message of await sprite.restoreCheckpoint('v9')) unknown.push(message);
    assert.match(unknown.at(-1)?.error ?? '', /^Failed to restore checkpoint:/);
  });

  it('keeps services', async () => {
    const told = async (stream: AsyncIterable<{ type: string; data?: string }>): Promise<string> => {
      let text = '';
      for await (const { type, data } of stream) text += `${type}${data === undefined ? '' : `=${data.trimEnd()}`} `;
      return text.trimEnd();
    };
    const config = { cmd: 'sh', args: ['-c', 'echo "$A"; exec sleep 1000'], env: { A: 'b' }, dir: '/', needs: [] };
    assert.equal(await told(await sprite.createService('web', config, '300ms')), 'started stdout=b complete');
    const [listed] = await sprite.listServices();
    assert.ok(listed);
    assert.deepEqual(
      [listed.name, listed.args, listed.env, listed.state?.status, listed.state?.restartCount],
      ['web', config.args, config.env, 'running', 0],
    );
    assert.equal((await sprite.getService('web')).state?.pid, listed.state?.pid);
    await sprite.createService('app', { ...config, needs: ['web'], httpPort: 18_090 }, '0s').then(told);
    await assert.rejects(sprite.createService('other', { cmd: 'sh', httpPort: 18_091 }), /Service conflict/);
    await assert.rejects(sprite.deleteService('web'), /Service conflict/);
    assert.match(await told(await sprite.stopService('web', '5s')), /^stopping .*stopped complete$/);
    await assert.rejects(sprite.stopService('web'), /Service not running/);
    await assert.rejects(sprite.signalService('web', 'HUP'), /Service not running/);
    assert.equal(await told(await sprite.startService('web', '300ms')), 'started stdout=b complete');
    assert.match(
      await told(await sprite.restartService('web', '300ms')),
      /^stopping stopped started stdout=b complete$/,
    );
    await sprite.signalService('web', 'SIGCONT');
    await assert.rejects(sprite.signalService('web', 'NOPE'), /Invalid signal/);
    assert.equal(
      await told(await sprite.getServiceLogs('web', { lines: 2, duration: '100ms' })),
      'stdout=b stdout=b complete',
    );
    await sprite.deleteService('app');
    await sprite.deleteService('web');
    for (const missing of [
      () => sprite.getService('web'),
      () => sprite.startService('web'),
      () => sprite.stopService('web'),
      () => sprite.deleteService('web'),
    ])
      await assert.rejects(missing(), /Service not found/);
    assert.deepEqual(await sprite.listServices(), []);
  });

  it('falls back from its control connection', async () => {
    const control = new SpritesClient(api.token, { baseURL: api.url, controlMode: true });
    assert.equal((await control.sprite('one').execFile('echo', ['direct'])).stdout, 'direct\n');
  });
});

/** Resolves when a command's socket is open. */
function started(command: SpriteCommand): Promise<void> {
  return new Promise((resolve, reject) => {
    command.once('spawn', resolve);
    command.once('error', reject);
  });
}
