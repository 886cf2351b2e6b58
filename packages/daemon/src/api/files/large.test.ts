// Offsets and sizes that 32 bits do not hold, on files that are mostly holes.
import assert from 'node:assert/strict';
import { mkdtemp, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, it } from 'node:test';
import { useAgentApi } from '../testing/agent-api.ts';
import type { AgentService } from '../testing/agent-service.ts';
import { type ApiFixture, eventually, type Json } from '../testing/fixture.ts';

const gib = 2 ** 30;
const edge = 4 * gib;
const sizeBytes = 10 * gib + 7;

describe('a file of 10 GiB', () => {
  let api: ApiFixture<AgentService>;
  let dir: string;
  let path: string;
  useAgentApi(async (opened) => {
    api = opened;
    await api.sprite();
  });
  beforeEach(async () => {
    dir = await mkdtemp(join(api.service.home, 'large-'));
    path = join(dir, 'big');
    await using file = await open(path, 'w');
    await file.write('across', edge - 3);
    await file.write('the end', sizeBytes - 7);
  });

  const fs = (verb: string, query: Record<string, string>): string =>
    `/v1/sprites/one/fs/${verb}?${new URLSearchParams(query).toString()}`;

  it('is read from any offset, and tells its size', async () => {
    const cases: [string, string, number, number][] = [
      [`bytes=${edge - 3}-${edge + 2}`, 'across', edge - 3, edge + 2],
      ['bytes=-7', 'the end', sizeBytes - 7, sizeBytes - 1],
      [`bytes=${sizeBytes - 3}-`, 'end', sizeBytes - 3, sizeBytes - 1],
      [`bytes=${9 * gib}-${9 * gib + 3}`, '\0\0\0\0', 9 * gib, 9 * gib + 3],
    ];
    for (const [range, text, first, last] of cases) {
      const part = await api.request('GET', fs('read', { path }), { headers: { range } });
      assert.deepEqual(
        [part.status, part.headers.get('content-range'), await part.text()],
        [206, `bytes ${first}-${last}/${sizeBytes}`, text],
      );
    }
    const beyond = await api.request('GET', fs('read', { path }), { headers: { range: `bytes=${sizeBytes}-` } });
    assert.deepEqual([beyond.status, beyond.headers.get('content-range')], [416, `bytes */${sizeBytes}`]);
    const { body } = await api.json('GET', fs('list', { path: dir }));
    assert.deepEqual(
      body.entries.map(({ size }: Json) => size),
      [sizeBytes],
    );
  });

  it('is sent on from where it broke off', async () => {
    const target = join(dir, 'sent');
    const put = (offset: number, body: string) =>
      api.request('PUT', fs('write', { path: target, upload: 'u', offset: String(offset), total: String(sizeBytes) }), {
        body,
        headers: { 'content-type': 'application/octet-stream' },
      });
    assert.equal((await put(0, 'begin')).status, 200);
    const beside = (await readdir(dir)).find((name) => name.includes('upload-u')) ?? assert.fail();
    // As if so much had been sent.
    await using partial = await open(join(dir, beside), 'r+');
    await partial.truncate(sizeBytes - 4);
    const told = await api.json('GET', fs('upload', { path: target, upload: 'u' }));
    assert.equal(told.body.size_bytes, sizeBytes - 4);
    assert.equal((await put(5, 'x')).status, 409);
    const whole = await put(sizeBytes - 4, 'last');
    assert.deepEqual([whole.status, ((await whole.json()) as Json).size], [200, sizeBytes]);
    assert.equal((await stat(target)).size, sizeBytes);
    const end = await api.request('GET', fs('read', { path: target }), { headers: { range: 'bytes=-5' } });
    assert.equal(await end.text(), '\0last');
  });

  it('travels in an archive with its size, and is let go of when nobody takes it', async () => {
    const archive = await api.request('GET', fs('archive', { path: dir }));
    assert.equal(archive.headers.get('x-archive-bytes'), String(sizeBytes));
    const reader = (archive.body ?? assert.fail()).getReader();
    let head = '';
    // Names, sizes and what says how to read them lie before the bytes.
    while (head.length < 4096) head += Buffer.from((await reader.read()).value ?? assert.fail()).toString('latin1');
    assert.match(head, new RegExp(`^\\d+ size=${sizeBytes}\n`, 'm'));
    await reader.cancel();
    await eventually(() => api.service.leases === 0);
  });
});
