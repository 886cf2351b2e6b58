import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { SylphClient, type JobOutput } from '@sylph/client';
import type { Job } from '@sylph/model';
import { Api } from '../api.ts';
import { TestDaemon, vmsBelow } from '../daemon.ts';
import { checkLeaks } from '../leaks.ts';
import { until } from '../shell.ts';

checkLeaks();

/** Counts up until it is told to end; its output tells whether a line was lost or repeated. */
const counting = 'i=0; while ! [ -e /tmp/end ]; do i=$((i+1)); echo $i; sleep 0.1; done; exit 7';

test('a job goes on while its daemon dies, while it is followed, and with its sprite through sleep and restore', async () => {
  const told: string[] = [];
  const receiver = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      told.push(body);
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => void receiver.listen(0, '127.0.0.1', resolve));
  const settings = { 'webhook-targets': 'any' };
  try {
    const first = await TestDaemon.start({ settings });
    const start = new SylphClient({ baseUrl: first.url, token: first.token });
    await new Api(first).create('jobs');
    const { id } = await start.jobs.start('jobs', {
      cmd: ['sh', '-c', counting],
      notify: { url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/` },
    });
    await until('its first output', async () => (await start.jobs.get('jobs', id)).output_bytes > 4);

    await using daemon = await first.restart('kill', { settings });
    const api = new Api(daemon);
    const { jobs } = new SylphClient({ baseUrl: daemon.url, token: daemon.token });
    assert.equal((await jobs.get('jobs', id)).state, 'running');
    const checkpoint = await api.checkpoint('jobs');
    const at = (await jobs.get('jobs', id)).output_bytes;

    const suspended = await api.call('POST', '/v1/sprites/jobs/suspend', undefined, { 'x-request-id': 'the-suspend' });
    assert.deepEqual([suspended.status, suspended.headers.get('x-request-id')], [200, 'the-suspend']);
    await until('a line of the engine that tells the request it is about', async () =>
      (await daemon.log())
        .split('\n')
        .some((line) => line.includes('"reqId":"the-suspend"') && line.includes('sprite sleeps')),
    );
    assert.deepEqual(await vmsBelow(daemon.dataDir), []);
    const asleep = await jobs.get('jobs', id);
    assert.equal(asleep.state, 'running', 'it sleeps with its sprite');
    assert.equal((await api.ok('GET', '/v1/sprites/jobs')).status, 'warm', 'looking wakes nothing');
    const late = await jobs.start('jobs', { cmd: ['sleep', '1000'] });
    await until('more output', async () => (await jobs.get('jobs', id)).output_bytes > asleep.output_bytes);

    const before = (await jobs.get('jobs', id)).output_bytes;
    const following = followed(jobs.logs('jobs', id, { follow: true }));
    const waiting = jobs.wait('jobs', id);
    const states = watchState(async () => (await jobs.get('jobs', id)).state);
    await api.restore('jobs', checkpoint);
    assert.equal((await jobs.get('jobs', late.id)).state, 'lost');
    assert.equal((await jobs.get('jobs', id)).state, 'running');
    await until('output after the restore', async () => (await jobs.get('jobs', id)).output_bytes > at);
    await api.text('jobs', 'touch /tmp/end');
    const ended = await jobs.wait('jobs', id);
    assert.deepEqual([ended.state, ended.exit_code], ['failed', 7]);
    assert.deepEqual(await waiting, ended, 'who waited through the restore sees the true end');
    assert.deepEqual(await states.stop(), ['running', 'failed'], 'who polled saw no other state');
    const { rewound, job } = await following;
    assert.deepEqual(job, ended, 'and who followed');
    assert.equal(rewound.length, 1);
    const [{ from, to }] = rewound as [{ from: number; to: number }];
    assert.ok(from >= before);
    assert.ok(to > 0 && to <= at && to < before, `back at ${to}; a little after the capture it was at ${at}`);
    let output = '';
    for await (const each of jobs.logs('jobs', id)) if ('bytes' in each) output += new TextDecoder().decode(each.bytes);
    const lines = output.trimEnd().split('\n').map(Number);
    assert.deepEqual(
      lines,
      lines.map((_, index) => index + 1),
    );
    await until('the message', () => told.length > 0);
    assert.deepEqual(JSON.parse(told[0] ?? '').job, ended);
    assert.equal(told.length, 1);
  } finally {
    receiver.closeAllConnections();
    receiver.close();
  }
});

/** Reads logs to their end. */
async function followed(
  logs: AsyncGenerator<JobOutput, Job, undefined>,
): Promise<{ rewound: { from: number; to: number }[]; job: Job }> {
  const rewound: { from: number; to: number }[] = [];
  let next = await logs.next();
  for (; next.done !== true; next = await logs.next())
    if (next.value.type === 'rewound') rewound.push({ from: next.value.from, to: next.value.to });
  return { rewound, job: next.value };
}

/** Asks for a state again and again until it is stopped; the states seen, each once. */
function watchState(ask: () => Promise<string>): { stop: () => Promise<string[]> } {
  const seen = new Set<string>();
  let stopped = false;
  const watching = (async () => {
    for (; !stopped; await new Promise((resolve) => setTimeout(resolve, 50))) seen.add(await ask());
    seen.add(await ask());
  })();
  return {
    stop: async () => {
      stopped = true;
      await watching;
      return [...seen];
    },
  };
}

test('a job keeps its sprite awake until it ends, and no longer', async () => {
  await using daemon = await TestDaemon.start({ settings: { 'idle-timeout': '1' } });
  const api = new Api(daemon);
  const { jobs } = new SylphClient({ baseUrl: daemon.url, token: daemon.token });
  await api.ok('POST', '/v1/sprites', { name: 'busy', config: { ram_mb: 512 } });
  const { id } = await jobs.start('busy', { cmd: ['sh', '-c', 'cat; sleep 6'], stdin: 'the input' });
  await until('the output', async () => (await jobs.get('busy', id)).output_bytes === 9);
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  assert.equal((await api.ok('GET', '/v1/sprites/busy')).status, 'running');
  assert.equal((await jobs.wait('busy', id)).state, 'succeeded');
  await until('it to sleep', async () => (await api.ok('GET', '/v1/sprites/busy')).status === 'warm');
  assert.equal((await jobs.list('busy')).length, 1);
});
