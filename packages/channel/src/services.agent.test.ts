import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { GuestChannel } from '@sylph/engine';
import { type GuestServiceDefinition, type ServiceEvent, SylphError } from '@sylph/model';
import { ControlAndDataChannels } from './factory.ts';
import { FakeGuest, type FakeGuestBehaviour } from './testing/fake-guest.ts';
import { RealAgent } from './testing/real-agent.ts';

const signal = AbortSignal.timeout(60_000);

let agent: RealAgent;
before(async () => {
  agent = await RealAgent.start();
});
after(() => agent[Symbol.asyncDispose]());

async function connect(sockets = agent.sockets): Promise<GuestChannel> {
  const channel = await new ControlAndDataChannels().connect(sockets, { deadlineMs: 10_000, signal });
  await channel.open({ deadlineMs: 10_000 });
  return channel;
}

function shell(script: string, more: Partial<GuestServiceDefinition> = {}): GuestServiceDefinition {
  const base = { env: { PATH: process.env['PATH'] ?? '' }, dir: '/', user: 'root' };
  return { cmd: '/bin/sh', args: ['-c', script], env: {}, dir: '', needs: [], http_port: null, base, ...more };
}

async function all(events: Promise<AsyncIterable<ServiceEvent>>): Promise<ServiceEvent[]> {
  return Array.fromAsync(await events);
}

const types = (events: readonly ServiceEvent[]): string => events.map(({ type }) => type).join(' ');

const refusedWith = (code: string) => (error: unknown) => error instanceof SylphError && error.code === code;

test('services run on while nobody is connected', async () => {
  let pid: number | undefined;
  {
    await using channel = await connect();
    const { services } = channel;
    const events = await all(
      services.put('web', shell('echo <&>; exec sleep 1000'.replace('<&>', '"<&>"')), { windowMs: 400, signal }),
    );
    assert.equal(types(events), 'started stdout complete');
    assert.equal(events[1]?.data, '<&>\n');
    const { state, ...rest } = await services.get('web', { signal });
    assert.deepEqual(rest, {
      name: 'web',
      cmd: '/bin/sh',
      args: ['-c', 'echo "<&>"; exec sleep 1000'],
      env: {},
      needs: [],
      http_port: null,
    });
    assert.equal(state.status, 'running');
    pid = state.pid;
    assert.deepEqual(await channel.processes(), []);
  }
  await using channel = await connect();
  const { services } = channel;
  assert.deepEqual(
    (await services.list({ signal })).map(({ name, state }) => [name, state.pid]),
    [['web', pid]],
  );
  assert.equal(types(await all(services.logs('web', { lines: 5, followMs: 0, signal }))), 'stdout complete');
  await services.signal('web', 'HUP', { signal });
  assert.equal(types(await all(services.stop('web', { timeoutMs: 1_000, signal }))).endsWith('stopped complete'), true);
  assert.equal(types(await all(services.restart('web', { windowMs: 100, signal }))).includes('started'), true);
  await services.delete('web', { signal });
  assert.deepEqual(await services.list({ signal }), []);
});

test('refusals have codes', async () => {
  await using channel = await connect();
  const { services } = channel;
  await assert.rejects(services.get('nobody', { signal }), refusedWith('service_not_found'));
  await assert.rejects(services.start('nobody', { windowMs: 0, signal }), refusedWith('service_not_found'));
  await assert.rejects(
    services.put('needy', shell('true', { needs: ['nobody'] }), { windowMs: 0, signal }),
    refusedWith('invalid_request'),
  );
  await all(services.put('first', shell('sleep 1000', { http_port: 18_080 }), { windowMs: 0, signal }));
  await assert.rejects(
    services.put('second', shell('true', { http_port: 18_081 }), { windowMs: 0, signal }),
    (error) => refusedWith('service_conflict')(error) && /another service already/.test(String(error)),
  );
  await services.delete('first', { signal });
});

test('a reader that leaves, or is aborted, changes nothing for the service', async () => {
  await using channel = await connect();
  const { services } = channel;
  const leaving = new AbortController();
  const events = await services.put('chatty', shell('while :; do echo x; sleep 0.01; done'), {
    windowMs: 60_000,
    signal: leaving.signal,
  });
  await assert.rejects(async () => {
    for await (const { type } of events) if (type === 'stdout') leaving.abort(new Error('seen enough'));
  }, /seen enough/);
  assert.equal((await services.get('chatty', { signal })).state.status.match(/starting|running/)?.length, 1);
  await services.delete('chatty', { signal });
});

test('an agent that says nonsense, or too much, is refused', async () => {
  const answers: Record<string, (stream: Parameters<NonNullable<FakeGuestBehaviour['stream']>>[0]) => void> = {
    '/v1/services': (stream) => stream.end('{"not":"a list"}'),
    '/v1/services/big': (stream) => {
      const more = (): void => {
        while (!stream.destroyed && stream.write(Buffer.alloc(65_536, 0x20)));
        stream.once('drain', more);
      };
      more();
    },
    '/v1/services/web/logs?lines=1&followMs=0': (stream) =>
      stream.end(`{"type":"stdout","timestamp":1,"data":"${'x'.repeat(600_000)}"}\n{"type":"stdout","timestamp":1}\n`),
    '/v1/services/odd/logs?lines=1&followMs=0': (stream) => stream.end('{"type":"odd","timestamp":1}\n'),
  };
  await using guest = await FakeGuest.start({
    stream: (stream, headers) => {
      const path = String(headers[':path']);
      stream.respond({ ':status': answers[path] === undefined ? 404 : 200 });
      if (answers[path] === undefined) stream.end('{"error":"no such path","code":"ENOENT"}');
      else answers[path](stream);
    },
  });
  await using channel = await connect(guest.sockets);
  const { services } = channel;
  const failed = refusedWith('agent_failed');
  await assert.rejects(services.list({ signal }), failed);
  await assert.rejects(services.get('big', { signal }), failed);
  const logs = await services.logs('web', { lines: 1, followMs: 0, signal });
  await assert.rejects(async () => {
    for await (const event of logs) assert.equal(event.data, undefined, 'too long a line is left out');
  }, /before its end/);
  await assert.rejects(all(services.logs('odd', { lines: 1, followMs: 0, signal })), failed);
  await assert.rejects(services.get('old', { signal }), /too old for services/);
});
