import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeSession } from './testing/fake-session.ts';
import { ApiFixture, eventually, type Json } from './testing/fixture.ts';

const lost = { how: 'lost', reason: 'the sprite was restored to v1', at: '2026-01-31T12:00:00.000Z' } as const;

/** A job that has printed `so far`. */
async function withJob(api: ApiFixture): Promise<FakeSession> {
  await api.sprite();
  await api.json('POST', '/v1/sprites/one/jobs', { body: { cmd: ['work'] } });
  const [session] = api.service.sessions.values();
  assert.ok(session);
  session.print('so far');
  return session;
}

/** The sprite is restored to a time when the job had printed this. */
function restore(api: ApiFixture, session: FakeSession, printed: string): FakeSession {
  const fresh = new FakeSession(session.id, session.request);
  fresh.print(printed);
  api.service.sessions.set(session.id, fresh);
  session.finish(lost);
  return fresh;
}

describe('the output of a job', () => {
  /** Reads logs in the background. */
  function follow(
    api: ApiFixture,
    query: string,
    accept = 'application/x-ndjson',
  ): { text: () => string; end: Promise<string> } {
    let text = '';
    const end = (async () => {
      const response = await api.request('GET', `/v1/sprites/one/jobs/1/logs?${query}`, { headers: { accept } });
      assert.equal(response.status, 200);
      const decoder = new TextDecoder();
      for await (const bytes of response.body ?? assert.fail()) text += decoder.decode(bytes, { stream: true });
      return text;
    })();
    return { text: () => text, end };
  }

  const linesOf = (text: string): Json[] =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));

  it('goes on through a restore to where the job was, and says so', async () => {
    await using api = await ApiFixture.open();
    const session = await withJob(api);
    const lines = follow(api, 'follow=true');
    const bytes = follow(api, 'follow=true', '*/*');
    await eventually(() => lines.text().includes('so far') && bytes.text() === 'so far');
    const fresh = restore(api, session, 'so');
    await eventually(() => lines.text().includes('rewound'));
    fresh.print(' good');
    fresh.exit(3);
    const all = linesOf(await lines.end);
    assert.deepEqual(all.slice(0, -1), [
      { type: 'stdout', offset: 0, data: 'so far' },
      { type: 'rewound', from: 6, to: 2 },
      { type: 'stdout', offset: 2, data: ' good' },
    ]);
    const { type, offset, job } = all.at(-1);
    assert.deepEqual([type, offset, job.state, job.exit_code], ['end', 7, 'failed', 3]);
    assert.equal(await bytes.end, 'so far[the job was taken back from byte 6 of its output to 2]\n good');
  });

  it('goes on through a restore to where it had got further, from where its reader was', async () => {
    await using api = await ApiFixture.open();
    const session = await withJob(api);
    const lines = follow(api, 'follow=true');
    await eventually(() => lines.text().includes('so far'));
    restore(api, session, 'so far and further').exit(0);
    assert.deepEqual(
      linesOf(await lines.end).map(({ type, data }) => data ?? type),
      ['so far', ' and further', 'end'],
    );
  });

  it('goes on after the wake of a sprite that was put to sleep', async () => {
    await using api = await ApiFixture.open();
    const session = await withJob(api);
    const lines = follow(api, 'follow=true');
    await eventually(() => lines.text().includes('so far'));
    await api.service.suspend(api.org, 'one');
    session.rest();
    // And one that only begins to follow now.
    const late = follow(api, 'follow=true&offset=3');
    await eventually(() => late.text().includes('far'));
    const woken = new FakeSession(session.id, session.request);
    woken.print('so far');
    api.service.sessions.set(session.id, woken);
    await api.service.start(api.org, 'one');
    woken.print(' and on');
    woken.exit(0);
    for (const [each, first] of [
      [lines, 'so far'],
      [late, 'far'],
    ] as const)
      assert.deepEqual(
        linesOf(await each.end).map(({ type, data }) => data ?? type),
        [first, ' and on', 'end'],
      );
  });

  it('is over for those who follow when its sleeping sprite is deleted', async () => {
    await using api = await ApiFixture.open();
    const session = await withJob(api);
    const lines = follow(api, 'follow=true');
    await eventually(() => lines.text().includes('so far'));
    await api.service.suspend(api.org, 'one');
    session.rest();
    await api.service.delete(api.org, 'one');
    assert.deepEqual(
      linesOf(await lines.end).map(({ type }) => type),
      ['stdout'],
    );
  });

  it('ends with a job that is lost', async () => {
    await using api = await ApiFixture.open();
    const session = await withJob(api);
    const lines = follow(api, 'follow=true');
    await eventually(() => lines.text().includes('so far'));
    session.finish(lost);
    assert.equal(linesOf(await lines.end).at(-1).job.state, 'lost');
    // And so does that of one that is removed with its sprite.
    await using other = await ApiFixture.open();
    const gone = await withJob(other);
    const last = follow(other, 'follow=true');
    await eventually(() => last.text().includes('so far'));
    await other.service.delete(other.org, 'one');
    gone.finish(lost);
    assert.equal(linesOf(await last.end).at(-1).job.state, 'lost');
  });

  it('that a client has seen more of than there is goes on at its end', async () => {
    await using api = await ApiFixture.open();
    const session = await withJob(api);
    const lines = follow(api, 'follow=true&offset=1000');
    await eventually(() => lines.text() !== '');
    session.print('!');
    session.exit(0);
    const all = linesOf(await lines.end);
    assert.deepEqual(all.slice(0, 2), [
      { type: 'rewound', from: 1_000, to: 6 },
      { type: 'stdout', offset: 6, data: '!' },
    ]);
    assert.deepEqual(
      linesOf(await follow(api, 'offset=8').end).map(({ type }) => type),
      ['rewound', 'end'],
    );
  });
});
