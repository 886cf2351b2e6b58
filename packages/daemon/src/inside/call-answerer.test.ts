import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CallingGuest, GuestCalls } from '@sylph/engine';
import { type GuestCall, type GuestCallLine, SylphError } from '@sylph/model';
import { pino } from 'pino';
import { ApiFixture, eventually } from '../api/testing/fixture.ts';
import { GuestCallAnswerer } from './call-answerer.ts';

/** A guest whose programs ask what the test says. */
class ScriptedCalls implements GuestCalls {
  readonly answers = new Map<string, { status: number; contentType: string; text: string }>();
  readonly #lines: GuestCallLine[];

  constructor(lines: GuestCallLine[]) {
    this.#lines = lines;
  }

  async *listen({ signal }: { signal: AbortSignal }): AsyncGenerator<GuestCallLine, void, undefined> {
    for (const line of this.#lines) yield line;
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  }

  async answer(call: GuestCall, { status, contentType, body }: Parameters<GuestCalls['answer']>[1]): Promise<void> {
    this.answers.set(call.id, { status, contentType, text: (await Array.fromAsync(body)).join('') });
  }
}

/** The objects of an answer in lines. */
function linesOf(text: string): Record<string, string>[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

describe('calls of programs in a sprite', () => {
  /** Answers to these calls, in order, and how long the sprite was held awake. */
  async function answersTo(
    calls: [method: GuestCall['method'], path: string, body?: string][],
    { tasks = [], prepare }: { tasks?: number[]; prepare?: (api: ApiFixture) => void | Promise<void> } = {},
  ): Promise<{ answers: { status: number; contentType: string; text: string }[]; held: number[]; api: ApiFixture }> {
    const api = await ApiFixture.open();
    await api.sprite();
    await prepare?.(api);
    const view = await api.service.get(api.org, 'one');
    const scripted = new ScriptedCalls([
      ...tasks.map((tasksMs) => ({ tasksMs })),
      ...calls.map(([method, path, body = ''], index) => ({ id: String(index), method, path, body })),
    ]);
    const held: number[] = [];
    const guest: CallingGuest = { calls: scripted, view: () => view, holdAwake: (forMs) => void held.push(forMs) };
    const ending = new AbortController();
    const spriteUrl = (name: string, suffix: string): string => `http://${name}-${suffix}.test`;
    const log = pino({ level: 'silent' });
    new GuestCallAnswerer({ service: () => api.service, spriteUrl, version: '1', log }).serve(guest, ending.signal);
    await eventually(() => scripted.answers.size === calls.length);
    ending.abort();
    await api[Symbol.asyncDispose]();
    return { answers: calls.map((_, index) => scripted.answers.get(String(index)) as never), held, api };
  }

  it('are answered about their own sprite', async () => {
    const { answers } = await answersTo([
      ['GET', '/info'],
      ['GET', '/v1/policy/network'],
      ['GET', '/v1/checkpoints'],
    ]);
    const [info, policy, checkpoints] = answers.map(({ text }) => JSON.parse(text));
    assert.deepEqual([info.sprite_name, info.org, info.version], ['one', 'acme', '1']);
    assert.match(info.sprite_url, /^http:\/\/one-/);
    assert.deepEqual(policy, { rules: [] });
    assert.deepEqual(
      checkpoints.map(({ id }: { id: string }) => id),
      ['Current'],
    );
  });

  it('are dropped beyond what is under way, by a guest that takes no answers', async () => {
    await using api = await ApiFixture.open();
    await api.sprite();
    const view = await api.service.get(api.org, 'one');
    let begun = 0;
    const calls: GuestCalls = {
      async *listen({ signal }) {
        for (let id = 0; id < 10_000; id++) yield { id: String(id), method: 'GET', path: '/info', body: '' };
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      },
      answer: (_call, _answer, { signal }) => {
        begun += 1;
        return new Promise((_resolve, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
        );
      },
    };
    const ending = new AbortController();
    const log = pino({ level: 'silent' });
    const guest: CallingGuest = { calls, view: () => view, holdAwake: () => {} };
    new GuestCallAnswerer({ service: () => api.service, spriteUrl: () => '', version: '1', log }).serve(
      guest,
      ending.signal,
    );
    await eventually(() => begun === 32);
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(begun, 32);
    ending.abort();
  });

  it('make checkpoints, with the lines scripts look for', async () => {
    const { answers, api } = await answersTo([['POST', '/v1/checkpoint', '{"comment":"inside"}']]);
    const lines = linesOf(answers[0]?.text ?? '');
    assert.deepEqual(
      lines.map(({ type, data }) => [type, data]),
      [
        ['info', 'Creating checkpoint...'],
        ['info', 'Checkpoint created successfully'],
        ['info', '\nCheckpoint Details:'],
        ['info', '  ID: v0'],
        ['info', '  Created: 2026-01-31 12:20:24'],
        ['info', '  Path: checkpoints/v0'],
        ['info', '\nTo restore this checkpoint:'],
        ['info', '  sprite checkpoint restore v0'],
        ['info', '  curl -X POST /checkpoints/v0/restore'],
        ['complete', 'Checkpoint v0 created successfully'],
      ],
    );
    assert.ok(lines.every(({ time }) => !Number.isNaN(Date.parse(time ?? ''))));
    assert.equal(answers[0]?.contentType, 'application/x-ndjson');
    assert.equal(api.service.made[0]?.comment, 'inside');
  });

  it('that fail to make one hear why', async () => {
    const { answers } = await answersTo([['POST', '/v1/checkpoint']], {
      prepare: ({ service }) => {
        service.before = (call) => {
          if (call.startsWith('checkpoint'))
            throw new SylphError('pool_full', 'the pool is full', { hint: 'Delete some.' });
        };
      },
    });
    const { time, ...last } = linesOf(answers[0]?.text ?? '').at(-1) ?? {};
    assert.ok(time);
    assert.deepEqual(last, {
      type: 'error',
      error: 'Failed to create checkpoint: the pool is full',
      code: 'pool_full',
      hint: 'Delete some.',
    });
  });

  it('list checkpoints as the public API does', async () => {
    const auto = 'auto-20260131-122024-ab12';
    const { answers } = await answersTo(
      [
        ['GET', '/v1/checkpoints'],
        ['GET', '/v1/checkpoints?includeAuto=true'],
        ['GET', '/v1/checkpoints?history=v0&includeAuto=true'],
        ['GET', '/v1/checkpoints/Current'],
        ['GET', '/v1/checkpoints/v1'],
        ['GET', '/v1/checkpoints?history=v9'],
        ['GET', '/v1/checkpoints?includeAuto=perhaps'],
      ],
      {
        prepare: async ({ service, org }) => {
          for (const comment of ['first', 'second']) await service.checkpoint(org, 'one', { comment });
          const [made] = service.made;
          assert.ok(made);
          service.made.unshift({ ...made, id: auto, is_auto: true, history: ['v0'], source_id: 'v0' });
        },
      },
    );
    const [all, withAuto, descendants, current, one] = answers.map(({ text }) => JSON.parse(text));
    const ids = (list: { id: string }[]): string[] => list.map(({ id }) => id);
    assert.deepEqual(ids(all), ['Current', 'v1', 'v0']);
    assert.deepEqual(ids(withAuto), ['Current', auto, 'v1', 'v0']);
    assert.deepEqual(ids(descendants), ['Current', auto, 'v1', 'v0']);
    assert.deepEqual([current.id, current.source_id, current.history], ['Current', 'v1', ['v1', 'v0']]);
    assert.deepEqual([one.id, one.comment, one.history], ['v1', 'second', ['v0']]);
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200, 200, 200, 404, 400],
    );
  });

  it('of the agent are told what a command of the sprite begins with', async () => {
    const { answers } = await answersTo([['GET', '/base']], {
      prepare: ({ service }) => {
        for (const row of service.rows.values()) row.environment = { FROM_SPRITE: 'yes', BROWSER: 'mine' };
      },
    });
    const { env, dir, user } = JSON.parse(answers[0]?.text ?? '');
    assert.deepEqual(
      [env.FROM_SPRITE, env.BROWSER, env.HOME, dir, user],
      ['yes', 'mine', '/home/sprite', '/home/sprite', 'sprite'],
    );
  });

  it('are refused what does not exist or fit', async () => {
    const { answers } = await answersTo([
      ['GET', '/v1/checkpoints/v9'],
      ['GET', '/v1/checkpoints/..%2f'],
      ['POST', '/v1/checkpoints/v9/restore'],
      ['POST', '/v1/checkpoint', '{'],
      ['POST', '/v1/checkpoint', '{"comment":7}'],
      ['DELETE', '/v1/checkpoints/v1'],
      ['GET', '/v1/sprites'],
    ]);
    assert.deepEqual(
      answers.map(({ status }) => status),
      [404, 404, 404, 400, 400, 404, 404],
    );
    assert.ok(answers.every(({ text }) => typeof JSON.parse(text).error === 'string'));
  });

  it('are limited, and tasks hold their sprite for an hour at most', async () => {
    const { answers, held } = await answersTo(
      Array.from({ length: 60 }, (): [GuestCall['method'], string] => ['GET', '/info']),
      { tasks: [60_000, 100_000_000, 0] },
    );
    assert.ok(answers.some(({ status }) => status === 429));
    assert.ok(answers.some(({ status }) => status === 200));
    assert.deepEqual(held, [60_000, 3_600_000, 0]);
  });
});
