import assert from 'node:assert/strict';
import { once } from 'node:events';
import { glob, readFile } from 'node:fs/promises';
import net from 'node:net';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as sdk from '@fly/sprites';
import {
  APIError,
  type NetworkPolicy,
  ProxyManager,
  proxyPorts,
  SpritesClient,
  type Sprite,
  type SpriteStateEvent,
} from '@fly/sprites';
import { useAgentApi } from './testing/agent-api.ts';
import type { AgentService } from './testing/agent-service.ts';
import { ApiFixture } from './testing/fixture.ts';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** Methods of the official client that no other test file calls. */
describe('the rest of the official JavaScript client', () => {
  let api: ApiFixture<AgentService>;
  let client: SpritesClient;
  let sprite: Sprite;

  useAgentApi(async (opened) => {
    api = opened;
    client = new SpritesClient(api.token, { baseURL: api.url });
    sprite = await client.createSprite('one');
  });

  it('watches sprites', async () => {
    await client.createSprite('watched-1');
    const watch = await client.watchSprites({ prefix: 'watched-', maxResults: 10 });
    const first = (await watch.next()) as SpriteStateEvent;
    assert.deepEqual([first.type, first.name, first.status], [undefined, 'watched-1', 'cold']);
    const told: (string | undefined)[] = [];
    await client.createSprite('watched-2');
    await client.createSprite('other');
    await watch.processAll((event) => {
      if (event.type !== 'heartbeat') told.push(event.name);
      if (event.name === 'watched-2') watch.close();
    });
    assert.deepEqual(told, ['watched-2']);
  });

  it('changes who may use the URL, in both forms, and labels', async () => {
    await client.updateURLSettings('one', { auth: 'public' });
    assert.equal((await client.getSprite('one')).urlSettings?.auth, 'public');
    await sprite.updateURLSettings({ auth: 'sprite' });
    const updated = await sprite.update({ labels: ['x'] });
    assert.deepEqual([updated.urlSettings?.auth, updated.labels], ['sprite', ['x']]);
  });

  it('manages sprites by their handles', async () => {
    const [first, second] = [await client.createSprite('gone-1'), await client.createSprite('gone-2')];
    assert.equal((await first.restart()).spriteName, 'gone-1');
    const { spriteName, checkedAt } = await first.check();
    assert.deepEqual([spriteName, checkedAt instanceof Date], ['gone-1', true]);
    await first.upgrade();
    await first.delete();
    await second.destroy();
    assert.deepEqual(await client.listAllSprites('gone-'), []);
    await assert.rejects(first.delete(), (error) => error instanceof APIError && error.statusCode === 404);
  });

  it('forwards several ports, until they are closed', async () => {
    const echo = net.createServer((socket) => void socket.pipe(socket)).listen(0, '127.0.0.1');
    await once(echo, 'listening');
    const { port: remotePort } = echo.address() as net.AddressInfo;
    const mappings = [
      { localPort: 0, remotePort },
      { localPort: 0, remotePort, remoteHost: '127.0.0.1' },
    ];
    const manager = new ProxyManager();
    const sessions = [
      ...(await sprite.proxyPorts(mappings)),
      ...(await proxyPorts(client, 'one', mappings.slice(0, 1))),
      await sprite.proxyPort(0, remotePort),
    ];
    for (const session of sessions) {
      manager.addSession(session);
      const socket = net.connect(Number(session.localAddr()?.split(':').at(-1)), 'localhost');
      socket.write('back');
      const [data] = (await once(socket, 'data')) as [Buffer];
      assert.equal(data.toString(), 'back');
      socket.destroy();
    }
    assert.equal(sessions.length, 4);
    sessions[0]?.close();
    await sessions[0]?.wait();
    manager.closeAll();
    await manager.waitAll();
    echo.close();
  });

  it('reads streams by whatever means', async () => {
    const told: unknown[] = [];
    const hear = ({ type }: { type: string }): void => void told.push(type);
    await (await sprite.createCheckpoint('by processAll')).processAll(hear);
    await (await sprite.restoreCheckpoint('v0')).processAll(hear);
    assert.equal(told.filter((type) => type === 'complete').length, 2);
    const [checkpoint, restore] = [await sprite.createCheckpoint(), await sprite.restoreCheckpoint('v0')];
    assert.deepEqual([(await checkpoint.next())?.type, (await restore.next())?.type], ['info', 'info']);
    checkpoint.close();
    restore.close();
    const service = await sprite.createService('s', { cmd: 'sleep', args: ['100'], dir: '/' }, '5s');
    assert.equal((await service.next())?.type, 'started');
    service.close();
    const stopped = await sprite.stopService('s');
    await stopped.processAll(hear);
    assert.equal(told.at(-1), 'complete');
    await sprite.deleteService('s');
    const command = sprite.spawn('sleep', ['100']);
    await once(command, 'spawn');
    const [session] = await sprite.listSessions();
    const kill = await sprite.killSession(session?.id ?? '');
    assert.equal((await kill.next())?.type, 'signal');
    await kill.processAll(hear);
    kill.close();
    await command.wait();
    const ports = await sprite.watchPorts();
    assert.notEqual(await ports.next(), null);
    ports.close();
    const files = await sprite.filesystem('/tmp').watch('.');
    files.close();
    assert.deepEqual([ports.isClosed(), files.isClosed()], [true, true]);
  });

  it('signals a command and tells it of the size of its terminal', async () => {
    const script = 'trap "stty size; exit 7" USR1; echo ready; while :; do sleep 0.05; done';
    const command = sprite.spawn('sh', ['-c', script], { tty: true, cols: 80, rows: 24 });
    let text = '';
    command.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await once(command.stdout, 'data');
    command.resize(132, 43);
    await new Promise((resolve) => setTimeout(resolve, 200));
    command.signal('USR1');
    await command.wait();
    assert.match(text, /43 132/);
    assert.equal(command.exitCode(), 1);
    const other = sprite.spawn('sh', ['-c', 'exit 3']);
    await other.wait();
    assert.equal(other.exitCode(), 3);
  });

  it('has no control connection, and says so', async () => {
    assert.deepEqual([sprite.useControlMode(), sprite.hasControlConnection()], [false, false]);
    await assert.rejects(sprite.getControlConnection());
    sprite.closeControlConnection();
  });

  it('understands refusals', async () => {
    await using limited = await ApiFixture.open({ limits: { creationsPerMinute: 1 } });
    const other = new SpritesClient(limited.token, { baseURL: limited.url });
    await other.createSprite('one');
    await assert.rejects(other.createSprite('two'), (error) => {
      assert.ok(error instanceof APIError);
      assert.deepEqual(
        [error.isRateLimitError(), error.isCreationRateLimited(), error.isConcurrentLimitExceeded()],
        [true, true, false],
      );
      return (error.getRetryAfterSeconds() ?? 0) > 0;
    });
  });

  it('sets and gets policies', async () => {
    assert.deepEqual((await sprite.getNetworkPolicy()).rules, []);
    const policy: NetworkPolicy = {
      rules: [
        { include: 'defaults' },
        { domain: '*.example.com', action: 'allow' },
        { domain: 'example.com', action: 'deny' },
      ],
    };
    await sprite.updateNetworkPolicy(policy);
    const got = await sprite.getNetworkPolicy();
    assert.deepEqual(got.rules, policy.rules);
    await sprite.updateNetworkPolicy(got);
    await assert.rejects(
      sprite.updateNetworkPolicy({ rules: [{ domain: 'not a name', action: 'allow' }] }),
      /Invalid policy/,
    );
    await sprite.updateNetworkPolicy({ rules: [] });

    const privileges = { profile: 'minimal' as const, devices: ['/dev/fuse'], noNewPrivileges: true };
    await sprite.updatePrivilegesPolicy(privileges);
    const { profile, devices, noNewPrivileges } = await sprite.getPrivilegesPolicy();
    assert.deepEqual({ profile, devices, noNewPrivileges }, privileges);
    await sprite.updatePrivilegesPolicy(await sprite.getPrivilegesPolicy());
    await sprite.deletePrivilegesPolicy();
    assert.equal((await sprite.getPrivilegesPolicy()).profile, undefined);

    await sprite.updateResourcesPolicy({ memory: { limitMB: 1024, autoscale: true } });
    assert.deepEqual(await sprite.getResourcesPolicy(), { memory: { limitMB: 1024, autoscale: true } });
    await sprite.deleteResourcesPolicy();
    assert.equal((await sprite.getResourcesPolicy()).memory, undefined);
  });
});

const manages = 'manages sprites';
const byHandle = 'manages sprites by their handles';
const byAnyMeans = 'reads streams by whatever means';
const commands = 'runs commands, again and again without losing a byte';
const sessions = 'lists, attaches to and kills sessions';
const checkpoints = 'makes, lists and restores checkpoints';
const services = 'keeps services';
const signals = 'signals a command and tells it of the size of its terminal';
const forwards = 'forwards several ports, until they are closed';
const files = 'serves every file method of the official client';
const noControl = 'has no control connection, and says so';
const policies = 'sets and gets policies';
const refusals = 'understands refusals';
const absent = (why: string): { absent: string } => ({ absent: why });

/** Where each public method is called: the title of a test of this folder; or why nowhere. */
const where: Record<string, Record<string, string | { absent: string }>> = {
  SpritesClient: {
    sprite: 'falls back from its control connection',
    createSprite: manages,
    getSprite: manages,
    listSprites: manages,
    watchSprites: 'watches sprites',
    listAllSprites: manages,
    deleteSprite: manages,
    upgradeSprite: manages,
    restartSprite: manages,
    checkSprite: manages,
    updateURLSettings: 'changes who may use the URL, in both forms, and labels',
    updateSprite: manages,
    createToken: absent("asks the other service's login; `sylphd token create` makes tokens"),
  },
  Sprite: {
    spawn: 'pipes input through, and signals',
    exec: commands,
    execFile: commands,
    execFileHTTP: 'gets every frame of HTTP exec by itself',
    createSession: sessions,
    attachSession: sessions,
    listSessions: sessions,
    killSession: sessions,
    watchPorts: 'are heard by the official client',
    delete: byHandle,
    destroy: byHandle,
    upgrade: byHandle,
    restart: byHandle,
    check: byHandle,
    createCheckpoint: checkpoints,
    listCheckpoints: checkpoints,
    getCheckpoint: checkpoints,
    restoreCheckpoint: checkpoints,
    updateURLSettings: 'changes who may use the URL, in both forms, and labels',
    update: 'changes who may use the URL, in both forms, and labels',
    proxyPort: forwards,
    proxyPorts: forwards,
    listServices: services,
    getService: services,
    createService: services,
    deleteService: services,
    startService: services,
    stopService: services,
    restartService: services,
    getServiceLogs: services,
    signalService: services,
    getNetworkPolicy: policies,
    updateNetworkPolicy: policies,
    getPrivilegesPolicy: policies,
    updatePrivilegesPolicy: policies,
    deletePrivilegesPolicy: policies,
    getResourcesPolicy: policies,
    updateResourcesPolicy: policies,
    deleteResourcesPolicy: policies,
    filesystem: files,
    useControlMode: noControl,
    getControlConnection: noControl,
    closeControlConnection: noControl,
    hasControlConnection: noControl,
  },
  SpriteCommand: {
    start: absent('the client calls it itself when a command is made'),
    wait: 'pipes input through, and signals',
    kill: 'pipes input through, and signals',
    signal: signals,
    resize: signals,
    exitCode: signals,
  },
  SpriteFilesystem: Object.fromEntries(
    [
      ...['readFile', 'writeFile', 'readdir', 'mkdir', 'rm', 'stat', 'rename', 'copyFile', 'chmod', 'exists', 'chown'],
      ...['watch', 'appendFile', 'readJSON', 'writeJSON'],
    ].map((method) => [method, files]),
  ),
  SpriteListStream: { next: 'watches sprites', processAll: 'watches sprites', close: 'watches sprites' },
  SessionKillStream: { next: byAnyMeans, processAll: byAnyMeans, close: byAnyMeans },
  CheckpointStream: { next: byAnyMeans, processAll: byAnyMeans, close: byAnyMeans },
  RestoreStream: { next: byAnyMeans, processAll: byAnyMeans, close: byAnyMeans },
  ServiceLogStream: { next: byAnyMeans, processAll: byAnyMeans, close: byAnyMeans },
  PortWatcher: {
    connect: absent('the client calls it itself'),
    next: byAnyMeans,
    close: byAnyMeans,
    isClosed: byAnyMeans,
  },
  FilesystemWatcher: {
    connect: absent('the client calls it itself'),
    next: files,
    close: files,
    isClosed: byAnyMeans,
  },
  ProxySession: {
    start: absent('the client calls it itself'),
    localAddr: forwards,
    close: forwards,
    wait: forwards,
  },
  ProxyManager: { addSession: forwards, closeAll: forwards, waitAll: forwards },
  APIError: {
    isRateLimitError: refusals,
    isCreationRateLimited: refusals,
    isConcurrentLimitExceeded: refusals,
    getRetryAfterSeconds: refusals,
  },
  ExecError: {},
  FilesystemError: {},
};

/** Classes whose objects this server never gives occasion to make: it has no control connection. */
const unreachable = ['ControlConnection', 'OpConn'];

describe('the table of the methods of the official JavaScript client', () => {
  it('has each of them, and no other', async () => {
    const hidden = await hiddenNames();
    const classes = Object.entries(sdk).filter(
      ([name, value]) => typeof value === 'function' && /^[A-Z]/.test(name) && !unreachable.includes(name),
    );
    for (const [name, value] of classes) {
      const methods = methodsOf(value).filter((method) => !hidden.has(`${name}.${method}`));
      assert.deepEqual(Object.keys(where[name] ?? {}).toSorted(), methods.toSorted(), name);
    }
    assert.deepEqual(Object.keys(where).toSorted(), classes.map(([name]) => name).toSorted());
  });

  it('names tests that call them', async () => {
    const tests = await testBodies();
    for (const [name, methods] of Object.entries(where))
      for (const [method, row] of Object.entries(methods)) {
        if (typeof row === 'object') continue;
        const bodies = tests.get(row);
        assert.ok(bodies !== undefined, `there is no test "${row}"`);
        assert.ok(
          bodies.some((body) => new RegExp(`\\.${method}\\(`).test(body)),
          `"${row}" does not call ${name}.${method}`,
        );
      }
  });
});

/** Methods of a class and of what it extends, static ones too. */
function methodsOf(value: unknown): string[] {
  const found = new Set<string>();
  const own = (object: object): void => {
    for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(object)))
      if (typeof property.value === 'function' && name !== 'constructor') found.add(name);
  };
  own(value as object);
  const ends = [net.Server.prototype, Error.prototype, Object.prototype].flatMap((each) => [
    each,
    Object.getPrototypeOf(each) as object | null,
  ]);
  for (
    let each = (value as { prototype: object | null }).prototype;
    each !== null && !ends.includes(each);
    each = Object.getPrototypeOf(each) as object | null
  )
    own(each);
  return [...found];
}

/** `Class.name` of everything that the client's types keep private, with what a class inherits. */
async function hiddenNames(): Promise<Set<string>> {
  const folder = dirname(fileURLToPath(import.meta.resolve('@fly/sprites')));
  const hidden = new Set<string>();
  const parents: [string, string][] = [];
  for await (const file of glob('*.d.ts', { cwd: folder })) {
    const text = await readFile(join(folder, file), 'utf8');
    for (const [, name = '', parent, body = ''] of text.matchAll(
      /^(?:export )?declare class (\w+)(?:<\w+>)?(?: extends (\w+))?[^{]*\{([^]*?)\n\}/gm,
    )) {
      if (parent !== undefined) parents.push([name, parent]);
      for (const [, member] of body.matchAll(/^ {4}(?:private|protected) (?:readonly )?(\w+)/gm))
        hidden.add(`${name}.${member}`);
    }
  }
  for (const [name, parent] of parents)
    for (const each of [...hidden]) if (each.startsWith(`${parent}.`)) hidden.add(name + each.slice(parent.length));
  return hidden;
}

/** The text of every test of this folder, by title. */
async function testBodies(): Promise<Map<string, string[]>> {
  const tests = new Map<string, string[]>();
  for await (const file of glob('**/*.test.ts', { cwd: here('.') })) {
    const text = await readFile(here(file), 'utf8');
    for (const part of text.split(/\n {2}(?=it\()/).slice(1)) {
      const title = /^it\('([^']+)'/.exec(part)?.[1];
      if (title !== undefined) tests.set(title, [...(tests.get(title) ?? []), part]);
    }
  }
  return tests;
}
