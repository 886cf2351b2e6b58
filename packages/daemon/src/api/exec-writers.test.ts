import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { FrameDecoder } from '@sylph/model';
import { ApiFixture } from './testing/fixture.ts';
import type { FakeSession } from './testing/fake-session.ts';

const exec = '/v1/sprites/one/exec?cmd=sh';

/** The answer to an exec whose session does this. */
async function answer(accept: string, work: (session: FakeSession) => void): Promise<{ type: string; body: Buffer }> {
  await using api = await ApiFixture.open();
  await api.sprite();
  api.service.onStart = work;
  const response = await api.request('POST', exec, { headers: { accept } });
  return { type: response.headers.get('content-type') ?? '', body: Buffer.from(await response.arrayBuffer()) };
}

const big = randomBytes(1_000_000);
const say = (session: FakeSession): void => {
  session.print('grüße');
  session.print(big, 'stderr');
  session.exit(7);
};

describe('http exec without pacing', () => {
  it('answers in frames that know their length', async () => {
    const { type, body } = await answer('application/vnd.sylph.frames', say);
    assert.equal(type, 'application/vnd.sylph.frames');
    const frames = [...new FrameDecoder().push(body)];
    const of = (wanted: number): Buffer =>
      Buffer.concat(frames.filter((frame) => frame.type === wanted).map((frame) => frame.payload));
    assert.equal(of(1).toString(), 'grüße');
    assert.ok(of(2).equals(big));
    assert.deepEqual(JSON.parse(of(3).toString()), { exit_code: 7 });
    assert.equal(frames.at(-1)?.type, 3);
    const lost = await answer('application/vnd.sylph.frames', (session) =>
      session.finish({ how: 'lost', reason: 'the VM died', at: '' }),
    );
    assert.equal(lost.body.subarray(5).toString(), '{"lost":"the VM died"}');
  });

  it('answers in lines', async () => {
    const { type, body } = await answer('text/html, application/x-ndjson;q=0.9', say);
    assert.equal(type, 'application/x-ndjson');
    const lines = body
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, string>);
    assert.deepEqual(lines[0], { type: 'stdout', data: 'grüße' });
    assert.deepEqual(lines.at(-1), { type: 'exit', exit_code: 7 });
    const errors = lines.filter((line) => line['type'] === 'stderr');
    assert.ok(errors.every((line) => line['encoding'] === 'base64'));
    assert.ok(Buffer.concat(errors.map((line) => Buffer.from(line['data'] ?? '', 'base64'))).equals(big));
  });

  it('keeps the paced form for everybody else', async () => {
    for (const accept of ['*/*', 'application/octet-stream', ''])
      assert.equal((await answer(accept, (session) => session.exit(0))).type, 'application/octet-stream');
  });
});
