import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientError } from './errors.ts';
import { serving } from './testing/serving.ts';
import type { Job, JobLogLine } from '@sylph/model';

const job = { id: '7', sprite: 'one', state: 'succeeded', exit_code: 0, output_bytes: 0 } as unknown as Job;

const options = { timeouts: { streamStallMs: 500 } };

test('logs that are followed arrive whole, whatever breaks on the way', async () => {
  const output = Array.from({ length: 400 }, (_, index) => ({
    stream: index % 3 === 0 ? ('stderr' as const) : ('stdout' as const),
    bytes: Buffer.from(index % 5 === 0 ? [0xff, index % 256] : `zeile ${index} ä\n`),
  }));
  let requests = 0;
  await using fixture = await serving(options, (request, response) => {
    requests += 1;
    const from = Number(new URL(request.url ?? '', 'http://x').searchParams.get('offset'));
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    let offset = 0;
    let said = '';
    for (const { stream, bytes } of output) {
      if (offset + bytes.length > from) {
        const rest = bytes.subarray(Math.max(0, from - offset));
        const line: JobLogLine = {
          type: stream,
          offset: Math.max(from, offset),
          data: rest.toString('base64'),
          encoding: 'base64',
        };
        said += `${JSON.stringify(line)}\n${JSON.stringify({ type: 'heartbeat' })}\n`;
      }
      offset += bytes.length;
    }
    said += `${JSON.stringify({ type: 'end', offset, job })}\n`;
    // Breaks anywhere, also within a line or a character; some answers just stop.
    const length = Math.floor(Math.random() * 4_000);
    if (said.length <= length) response.end(said);
    else
      response.write(said.slice(0, length), () => {
        if (requests % 7 !== 0) response.destroy();
      });
  });
  const logs = fixture.client.jobs.logs('one', '7', { follow: true });
  const got = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  let next = await logs.next();
  for (; next.done !== true; next = await logs.next()) {
    assert.ok('bytes' in next.value);
    got[next.value.type].push(next.value.bytes);
  }
  assert.deepEqual(next.value, job);
  for (const stream of ['stdout', 'stderr'] as const)
    assert.deepEqual(
      Buffer.concat(got[stream]),
      Buffer.concat(output.filter((each) => each.stream === stream).map(({ bytes }) => bytes)),
    );
  assert.ok(requests > 3, `${requests} requests`);
});

test('output that was taken back by a restore is told, and goes on from there through a break', async () => {
  const asked: (string | null)[] = [];
  await using fixture = await serving(options, (request, response) => {
    asked.push(new URL(request.url ?? '', 'http://x').searchParams.get('offset'));
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    if (asked.length === 1)
      response.write(
        '{"type":"stdout","offset":0,"data":"abcdef"}\n{"type":"rewound","from":6,"to":3}\n{"type":"stdout","offset":3,"data":"X"}\n',
        () => response.destroy(),
      );
    else
      response.end(
        `{"type":"stdout","offset":4,"data":"Y"}\n${JSON.stringify({ type: 'end', offset: 5, job } satisfies JobLogLine)}\n`,
      );
  });
  const logs = fixture.client.jobs.logs('one', '7', { follow: true });
  const got: string[] = [];
  let next = await logs.next();
  for (; next.done !== true; next = await logs.next())
    got.push('bytes' in next.value ? Buffer.from(next.value.bytes).toString() : `${next.value.type} ${next.value.to}`);
  assert.deepEqual(got, ['abcdef', 'rewound 3', 'X', 'Y']);
  assert.deepEqual(next.value, job);
  assert.deepEqual(asked, ['0', '4']);
});

test('a stream that is not followed ends where the output ends; refusals are not repeated', async () => {
  let requests = 0;
  await using fixture = await serving(options, (request, response) => {
    requests += 1;
    if (request.url?.includes('/9')) {
      response.writeHead(404, { 'content-type': 'application/json' });
      response.end('{"error":"job not found: 9","code":"job_not_found"}');
      return;
    }
    response.writeHead(200);
    if (request.url?.includes('/logs')) response.end('{"type":"stdout","offset":0,"data":"so far"}\n');
    else response.end(JSON.stringify({ ...job, state: 'running' }));
  });
  const logs = fixture.client.jobs.logs('one', '7');
  const first = await logs.next();
  assert.deepEqual(first.value, { type: 'stdout', offset: 0, bytes: new TextEncoder().encode('so far') });
  const end = await logs.next();
  assert.deepEqual([end.done, (end.value as Job).state, requests], [true, 'running', 2]);
  await assert.rejects(
    fixture.client.jobs.logs('one', '9', { follow: true }).next(),
    (error) => error instanceof ClientError && error.code === 'job_not_found',
  );
  assert.equal(requests, 3);
});

test('waiting ends with the signal it was given, also between attempts', async () => {
  await using fixture = await serving(options, (_request, response) => void response.destroy());
  await assert.rejects(
    fixture.client.jobs.logs('one', '7', { follow: true, signal: AbortSignal.timeout(300) }).next(),
    (error: Error) => error.name === 'TimeoutError',
  );
});
