import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SylphClient } from '@sylph/client';
import { Api } from '../api.ts';
import { TestDaemon } from '../daemon.ts';
import { checkLeaks } from '../leaks.ts';
import { until } from '../shell.ts';

checkLeaks();

type Services = SylphClient['services'];
type State = Awaited<ReturnType<Services['get']>>['state'];

const servicesOf = (daemon: TestDaemon): Services =>
  new SylphClient({ baseUrl: daemon.url, token: daemon.token }).services;

/** Creates a service of a shell script without looking at what it does. */
async function put(services: Services, name: string, script: string, needs: string[] = []): Promise<void> {
  const request = { cmd: '/bin/sh', args: ['-c', script], needs };
  for await (const _event of services.put('box', name, request, { windowMs: 0 }));
}

/** Waits until a service runs; its state. */
function running(services: Services, name: string): Promise<State> {
  return until(`${name} to run`, async () => {
    const { state } = await services.get('box', name);
    return state.status === 'running' ? state : undefined;
  });
}

test('a service goes on while its daemon dies, and with its sprite through sleep and restore', async () => {
  const first = await TestDaemon.start();
  await new Api(first).create('box');
  await put(servicesOf(first), 'count', 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.2; done');
  const { pid, started_at: startedAt } = await running(servicesOf(first), 'count');

  await using daemon = await first.restart('kill');
  const api = new Api(daemon);
  const services = servicesOf(daemon);
  assert.equal((await services.get('box', 'count')).state.pid, pid, 'it outlives the daemon');
  const checkpoint = await api.checkpoint('box');

  await api.ok('POST', '/v1/sprites/box/suspend');
  assert.equal((await api.ok('GET', '/v1/sprites/box')).status, 'warm', 'a service keeps no sprite awake');
  const woken = (await services.get('box', 'count')).state;
  assert.deepEqual([woken.pid, woken.started_at, woken.restart_count], [pid, startedAt, 0]);

  await put(services, 'later', 'exec sleep 1000');
  await api.restore('box', checkpoint);
  assert.deepEqual(
    (await services.list('box')).map(({ name, state }) => [name, state.pid]),
    [['count', pid]],
    'a restore brings the services of the checkpoint',
  );

  const numbers: number[] = [];
  for await (const { type, data } of services.logs('box', 'count', { lines: 10_000, follow: true })) {
    if (type === 'stdout') numbers.push(Number(data));
    if (numbers.length > 20) break;
  }
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index + 1),
  );
});

test('a boot starts services in the order of their needs, but none that its user stopped; what crashes comes again', async () => {
  await using daemon = await TestDaemon.start();
  const api = new Api(daemon);
  const services = servicesOf(daemon);
  await api.create('box');
  const noted = (name: string): string => `echo ${name} >>/home/sprite/order; exec sleep 1000`;
  await put(services, 'db', noted('db'));
  await put(services, 'app', noted('app'), ['db']);
  await put(services, 'off', noted('off'));
  for (const name of ['db', 'app', 'off']) await running(services, name);
  for await (const _event of services.stop('box', 'off'));
  await api.text('box', 'rm /home/sprite/order');

  await api.ok('POST', '/v1/sprites/box/restart');
  const before = await running(services, 'app');
  const needed = await running(services, 'db');
  assert.ok(String(needed.started_at) < String(before.started_at), 'what is needed starts first');
  await until('both to have said so', async () => (await api.text('box', 'sort /home/sprite/order')) === 'app\ndb');
  assert.equal((await services.get('box', 'off')).state.status, 'stopped');

  await services.signal('box', 'app', 'KILL');
  const after = await until('the restart', async () => {
    const { state } = await services.get('box', 'app');
    return state.restart_count === 1 && state.status === 'running' ? state : undefined;
  });
  assert.notEqual(after.pid, before.pid);
  await put(services, 'crash', 'echo again; exit 3');
  const waiting = await until('two restarts', async () => {
    const { state } = await services.get('box', 'crash');
    return state.restart_count >= 2 && state.next_restart_at !== undefined ? state : undefined;
  });
  assert.equal(waiting.error, 'ended with exit code 3');
  assert.equal(await api.text('box', 'grep -c again /.sprite/logs/services/crash.log'), '3');
});

test('programs of a sprite reach its own services, checkpoints and tasks', async () => {
  await using daemon = await TestDaemon.start({ settings: { 'idle-timeout': '1' } });
  const api = new Api(daemon);
  await api.ok('POST', '/v1/sprites', { name: 'box', config: { ram_mb: 512 } });
  const created = await api.text(
    'box',
    'sprite-env services create web --cmd sleep --args 1000 --dir / --duration 500ms | tail -n 1',
  );
  assert.equal((JSON.parse(created) as { type: string }).type, 'complete');
  assert.equal((await servicesOf(daemon).get('box', 'web')).state.status, 'running');
  const info = JSON.parse(await api.text('box', 'sprite-env info')) as Record<string, unknown>;
  assert.deepEqual([info['sprite_name'], info['sprite_id']], ['box', (await api.ok('GET', '/v1/sprites/box')).id]);
  assert.match(await api.text('box', 'sprite-env checkpoints create --comment inside'), /"type":"complete"/);
  assert.match(await api.text('box', 'sprite-env checkpoints list'), /"comment":"inside"/);

  await api.text(
    'box',
    `curl -sf --unix-socket /.sprite/api.sock -X PUT -d '{"expire":6}' http://sprite/v1/tasks/build`,
  );
  await new Promise((resolve) => setTimeout(resolve, 3_500));
  assert.equal((await api.ok('GET', '/v1/sprites/box')).status, 'running', 'a task keeps it awake');
  await until('it to sleep', async () => (await api.ok('GET', '/v1/sprites/box')).status === 'warm');
});
