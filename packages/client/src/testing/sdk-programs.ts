import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type * as sdk from '@fly/sprites';
import type {
  Checkpoint,
  ExecResult,
  NetworkPolicy,
  PrivilegesPolicy,
  Service,
  Session,
  SpriteCommand,
  StreamMessage,
} from '@fly/sprites';

/** What programs import of the npm SDK. */
type Sdk = Pick<
  typeof sdk,
  | 'APIError'
  | 'ERR_CODE_CONCURRENT_LIMIT_EXCEEDED'
  | 'ERR_CODE_CREATION_RATE_LIMITED'
  | 'ExecError'
  | 'FilesystemError'
  | 'ProxyManager'
  | 'Sprite'
  | 'SpriteCommand'
  | 'SpriteFilesystem'
  | 'SpritesClient'
  | 'StreamID'
>;

/** Where the server is. */
interface Place {
  url: string;
  token: string;
  /** Names of new sprites begin so. */
  prefix: string;
}

/** Programs written for the npm SDK, with its types. Each tells what it saw. The same text is checked and run against our client. */
export const programs = {
  async sprites({ SpritesClient, APIError, Sprite }: Sdk, { url, token, prefix }: Place): Promise<unknown[]> {
    const client = new SpritesClient(token, { baseURL: url, timeout: 10_000, controlMode: false });
    const handle = client.sprite('one');
    assert.ok(handle instanceof Sprite);
    const made = await client.createSprite(`${prefix}a`, { ramMB: 1024, cpus: 2, storageGB: 10 });
    const other = await client.createSprite(`${prefix}b`, {
      labels: ['x'],
      environment: { A: 'b' },
      urlSettings: { auth: 'public' },
    });
    const third = await client.createSprite(`${prefix}c`, { cpus: 1 }, { labels: ['y'] });
    const listed = await client.listSprites({ prefix, maxResults: 2 });
    const more = await client.listSprites({ prefix, continuationToken: listed.nextContinuationToken ?? '' });
    const all = await client.listAllSprites(prefix);
    const updated = await client.updateSprite(`${prefix}a`, {
      labels: ['z'],
      urlSettings: { auth: 'sprite', privateAccess: 'org_users' },
    });
    await third.updateURLSettings({ auth: 'public' });
    const read = await client.getSprite(`${prefix}c`);
    const restarted = await made.restart();
    const checked = await made.check();
    await made.upgrade();
    const errors: unknown[] = [];
    for (const work of [
      () => client.getSprite('none'),
      () => client.createSprite(`${prefix}a`),
      () => new SpritesClient('bad', { baseURL: url }).getSprite('one'),
    ])
      await work().catch((error: unknown) => {
        assert.ok(error instanceof APIError);
        errors.push([error.statusCode, error.message, error.isRateLimitError(), error.isCreationRateLimited()]);
        errors.push([error.isConcurrentLimitExceeded(), error.getRetryAfterSeconds(), error.limit]);
      });
    const watch = await client.watchSprites({ prefix });
    const states: unknown[] = [];
    for (let event = await watch.next(); event !== null; event = await watch.next()) {
      states.push([event.name, event.status, event.organization.name]);
      if (states.length === 3) watch.close();
    }
    await third.delete();
    await client.deleteSprite(`${prefix}b`);
    await made.destroy();
    return [
      [made.name, made.status, made.organizationName, made.createdAt instanceof Date, made.url !== undefined],
      [other.labels, other.environment, other.urlSettings, third.labels, third.config?.cpus],
      [listed.sprites.map(({ name }) => name), listed.hasMore, listed.organizationName, more.hasMore],
      all.map(({ name }) => name),
      [updated.labels, updated.urlSettings, read.urlSettings?.auth],
      [restarted.spriteName, restarted.message, checked.spriteName, checked.checkedAt instanceof Date],
      errors,
      states.map((state) => JSON.stringify(state)).toSorted(),
    ];
  },

  async exec({ SpritesClient, ExecError, StreamID }: Sdk, { url, token }: Place): Promise<unknown[]> {
    const sprite = new SpritesClient(token, { baseURL: url }).sprite('one');
    const plain: ExecResult = await sprite.exec('echo hello  world');
    const many = await sprite.execFile('sh', ['-c', 'echo "$A:$PWD"; echo err >&2'], {
      env: { A: 'b c' },
      cwd: '/tmp',
    });
    const bytes = await sprite.execFile('printf', ['\\377\\0'], { encoding: 'buffer' as BufferEncoding });
    assert.ok(Buffer.isBuffer(bytes.stdout));
    const coded = await sprite.execFile('printf', ['abc'], { encoding: 'base64' });
    const errors: unknown[] = [];
    await sprite.execFile('sh', ['-c', 'echo some; echo bad >&2; exit 42']).catch((error: unknown) => {
      assert.ok(error instanceof ExecError);
      errors.push([error.exitCode, error.stdout, error.stderr, error.result.exitCode, error.message, error.name]);
    });
    await sprite.execFile('no-such-program').catch((error: unknown) => {
      assert.ok(error instanceof ExecError);
      errors.push(error.exitCode);
    });
    await sprite.execFile('head', ['-c', '3000', '/dev/zero'], { maxBuffer: 1000 }).catch((error: unknown) => {
      errors.push(/maxBuffer exceeded/.test((error as Error).message));
    });
    const http = await sprite.execFileHTTP('sh', ['-c', 'cat; echo err >&2'], {
      input: 'in',
      timeout: 10_000,
      signal: AbortSignal.timeout(10_000),
    });
    await sprite.execFileHTTP('sh', ['-c', 'exit 9']).catch((error: unknown) => {
      assert.ok(error instanceof ExecError);
      errors.push(error.exitCode);
    });
    return [plain, many, bytes.stdout.toString('hex'), coded, errors, http, StreamID.StdinEOF];
  },

  async commands({ SpritesClient, SpriteCommand }: Sdk, { url, token }: Place): Promise<unknown[]> {
    const sprite = new SpritesClient(token, { baseURL: url }).sprite('one');
    const cat = sprite.spawn('cat', [], { env: { A: 'b' } });
    assert.ok(cat instanceof SpriteCommand);
    const seen: Buffer[] = [];
    const events: string[] = [];
    cat.stdout.on('data', (chunk: Buffer) => seen.push(chunk));
    cat.on('exit', (code: number) => events.push(`exit ${code}`));
    cat.on('error', (error: Error) => events.push(error.message));
    await once(cat, 'spawn');
    const before = cat.exitCode();
    cat.stdin.write('first ');
    cat.stdin.write(Buffer.from('second'));
    cat.stdin.end();
    const code: number = await cat.wait();

    const shell = sprite.spawn('sh', ['-c', 'stty size; read line; echo "got $line"'], {
      tty: true,
      cols: 100,
      rows: 30,
    });
    const screen = textOf(shell);
    await once(shell, 'spawn');
    await screen.sees('30 100');
    shell.resize(90, 20);
    shell.stdin.write('word\r');
    const terminal = await shell.wait();

    const sleeper = sprite.spawn('sleep', ['60']);
    await once(sleeper, 'spawn');
    sleeper.kill();
    const killed = await sleeper.wait();
    const other = sprite.spawn('sleep', ['60'], { maxRunAfterDisconnect: '30s' });
    await once(other, 'spawn');
    other.signal('SIGINT');

    const piped = sprite.spawn('sh', ['-c', 'echo a; echo b >&2; echo c']);
    let lines = '';
    for await (const chunk of piped.stdout) lines += (chunk as Buffer).toString();
    return [
      [Buffer.concat(seen).toString(), before, code, cat.exitCode(), events],
      [terminal, /got word/.test(screen.text())],
      [killed, await other.wait(), lines, await piped.wait()],
    ];
  },

  async sessions({ SpritesClient }: Sdk, { url, token }: Place): Promise<unknown[]> {
    const sprite = new SpritesClient(token, { baseURL: url }).sprite('one');
    const created = sprite.createSession('sh', ['-c', 'echo first; read line; echo "second $line"; sleep 60'], {
      cols: 80,
      rows: 24,
    });
    await once(created, 'spawn');
    const listed = await sprite.listSessions();
    const session: Session | undefined = listed.find(({ command }) => command.includes('echo first'));
    assert.ok(session);
    const attached = sprite.attachSession(session.id);
    const screen = textOf(attached);
    await once(attached, 'spawn');
    attached.stdin.write('word\r');
    await screen.sees('second word');
    const killed: unknown[] = [];
    for await (const event of await sprite.killSession(session.id, 'SIGHUP', '5s'))
      killed.push([event.type, event.exitCode]);
    const ended = [(await created.wait()) !== 0, (await attached.wait()) !== 0];
    const refusal = await sprite.killSession(session.id).then(
      () => undefined,
      (error: { statusCode?: number }) => error.statusCode,
    );
    const ports = await sprite.watchPorts();
    const first = await ports.next();
    ports.close();
    return [
      [session.command, session.tty, session.isActive, session.created instanceof Date, session.workdir],
      [killed, ended, refusal, /first/.test(screen.text())],
      [first?.type, ports.isClosed()],
    ];
  },

  async files(
    { SpritesClient, FilesystemError, SpriteFilesystem }: Sdk,
    { url, token, prefix }: Place,
  ): Promise<unknown[]> {
    const sprite = new SpritesClient(token, { baseURL: url }).sprite('one');
    const dir = `/tmp/sylph-sdk-${prefix}`;
    const root = sprite.filesystem();
    const files = sprite.filesystem(dir);
    assert.ok(files instanceof SpriteFilesystem);
    await root.mkdir(dir, { recursive: true });
    try {
      await files.writeFile('a.txt', 'hello', { mode: 0o600 });
      await files.appendFile('a.txt', Buffer.from(' there'));
      await files.writeJSON('deep/b.json', { b: [1] }, { spaces: 1 });
      const stat = await files.stat('a.txt');
      await files.copyFile('a.txt', 'c.txt', { preserveAttrs: true });
      await files.rename('c.txt', 'd.txt');
      await files.chmod('d.txt', 0o640);
      const names: string[] = await files.readdir('.');
      const entries = await files.readdir('.', { withFileTypes: true });
      const text: string = await files.readFile('a.txt', 'utf8');
      const bytes: Buffer = await files.readFile('a.txt', null);
      const parsed = await files.readJSON<{ b: number[] }>('deep/b.json');
      const watcher = await files.watch('.', { recursive: true });
      await files.writeFile('e.txt', '');
      let created = false;
      for await (const event of watcher) {
        if (event.type === 'event' && event.path?.endsWith('e.txt')) created = true;
        if (created) break;
      }
      const exists = [await files.exists('a.txt'), await files.exists('none')];
      await files.rm('deep', { recursive: true });
      await files.rm('none', { force: true });
      const refusals: unknown[] = [];
      for (const work of [
        () => files.readFile('none'),
        () => files.stat('none'),
        () => files.rm('none'),
        () => files.readdir('a.txt/x'),
      ])
        await work().catch((error: unknown) => {
          assert.ok(error instanceof FilesystemError);
          refusals.push([error.code, error.name, error.syscall]);
        });
      await assert.rejects(files.chown('a.txt', {}), TypeError);
      return [
        [
          stat.size,
          stat.mode & 0o777,
          stat.isFile(),
          stat.isDirectory(),
          stat.isSymbolicLink(),
          stat.mtime instanceof Date,
        ],
        [
          names.toSorted(),
          entries.map((entry) => `${entry.parentPath}/${entry.name} ${entry.isDirectory()}`).toSorted(),
        ],
        [text, bytes.toString('hex'), parsed, created, exists, refusals],
        [(await files.stat('d.txt')).mode & 0o777, await root.exists(dir)],
      ];
    } finally {
      await root.rm(dir, { recursive: true });
    }
  },

  async checkpoints({ SpritesClient }: Sdk, { url, token }: Place): Promise<unknown[]> {
    const sprite = new SpritesClient(token, { baseURL: url }).sprite('one');
    const types: StreamMessage['type'][] = [];
    for await (const message of await sprite.createCheckpoint('first')) types.push(message.type);
    const listed: Checkpoint[] = await sprite.listCheckpoints();
    const id = listed[1]?.id ?? '';
    const one = await sprite.getCheckpoint(id);
    const restored: string[] = [];
    await (await sprite.restoreCheckpoint(id)).processAll((message) => void restored.push(message.type));
    const unknown: unknown[] = [];
    for await (const { type, error } of await sprite.restoreCheckpoint('v999')) unknown.push([type, error]);
    return [
      types,
      listed.every(({ createTime }) => createTime instanceof Date),
      one.comment,
      one.id === id,
      restored,
      unknown,
    ];
  },

  async services({ SpritesClient }: Sdk, { url, token, prefix }: Place): Promise<unknown[]> {
    const sprite = new SpritesClient(token, { baseURL: url }).sprite('one');
    const told = async (stream: AsyncIterable<{ type: string; data?: string }>): Promise<string> => {
      let text = '';
      for await (const { type, data } of stream) text += `${type}${data === undefined ? '' : `=${data.trimEnd()}`} `;
      return text.trimEnd();
    };
    const name = `web-${prefix}`;
    const config = { cmd: 'sh', args: ['-c', 'echo "$A"; exec sleep 1000'], env: { A: 'b' }, dir: '/', needs: [] };
    const seen = [await told(await sprite.createService(name, config, '300ms'))];
    const service: Service = await sprite.getService(name);
    const [listed] = await sprite.listServices();
    seen.push(await told(await sprite.restartService(name, '300ms')));
    await sprite.signalService(name, 'SIGCONT');
    seen.push(await told(await sprite.stopService(name, '5s')));
    seen.push(await told(await sprite.startService(name, '300ms')));
    seen.push(await told(await sprite.getServiceLogs(name, { lines: 2, duration: '100ms' })));
    await sprite.deleteService(name);
    const gone = await sprite.getService(name).then(
      () => undefined,
      (error: Error) => /not found/i.test(error.message),
    );
    return [seen, service.args, service.env, service.httpPort, listed?.state?.status, gone];
  },

  async policies({ SpritesClient }: Sdk, { url, token, prefix }: Place): Promise<unknown[]> {
    const sprite = await new SpritesClient(token, { baseURL: url }).createSprite(`policies-of-${prefix}x`);
    const seen: unknown[] = [(await sprite.getNetworkPolicy()).rules];
    const policy: NetworkPolicy = {
      rules: [{ include: 'defaults' }, { domain: '*.example.com', action: 'deny' }],
    };
    await sprite.updateNetworkPolicy(policy);
    const got = await sprite.getNetworkPolicy();
    await sprite.updateNetworkPolicy(got);
    seen.push(got.rules);
    await sprite
      .updateNetworkPolicy({ rules: [{ domain: 'a b', action: 'allow' }] })
      .catch((error: Error) => seen.push(/is a host name such as/.test(error.message)));
    const privileges: PrivilegesPolicy = { profile: 'minimal', devices: ['/dev/fuse'], noNewPrivileges: true };
    await sprite.updatePrivilegesPolicy(privileges);
    seen.push(await sprite.getPrivilegesPolicy());
    await sprite.deletePrivilegesPolicy();
    seen.push(await sprite.getPrivilegesPolicy());
    await sprite.updateResourcesPolicy({ memory: { limitMB: 512, autoscale: true } });
    seen.push(await sprite.getResourcesPolicy());
    await sprite.deleteResourcesPolicy();
    seen.push((await sprite.getResourcesPolicy()).memory);
    await sprite.delete();
    return seen;
  },

  async ports({ SpritesClient, ProxyManager }: Sdk, { url, token }: Place): Promise<unknown[]> {
    const sprite = new SpritesClient(token, { baseURL: url }).sprite('one');
    // A proxy that is closed resets its connections.
    const echo = createServer((socket) => void socket.on('error', () => undefined).pipe(socket));
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
    const port = (echo.address() as { port: number }).port;
    try {
      const session = await sprite.proxyPort(0, port);
      const [other] = await sprite.proxyPorts([{ localPort: 0, remotePort: port, remoteHost: '127.0.0.1' }]);
      assert.ok(other);
      const manager = new ProxyManager();
      manager.addSession(session);
      manager.addSession(other);
      const address = session.localAddr() ?? '';
      const closing = manager.waitAll();
      const answers = [await answerOf(address), await answerOf(other.localAddr() ?? '')];
      manager.closeAll();
      await closing;
      return [answers, session.remotePort === port, other.remoteHost, session.localAddr()];
    } finally {
      echo.close();
    }
  },
};

async function answerOf(address: string): Promise<string> {
  const { connect } = await import('node:net');
  const socket = connect({ host: '127.0.0.1', port: Number(address.split(':')[1]) });
  socket.write('ping');
  const [data] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return data.toString();
}

/** The text of a command so far, and waiting for a part of it. */
function textOf(command: SpriteCommand): { text: () => string; sees: (part: string) => Promise<void> } {
  let text = '';
  command.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return {
    text: () => text,
    async sees(part) {
      while (!text.includes(part)) await once(command.stdout, 'data', { signal: AbortSignal.timeout(10_000) });
    },
  };
}
