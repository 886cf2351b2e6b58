import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SpritesClient, type Sprite } from '@fly/sprites';
import { useAgentApi } from './testing/agent-api.ts';
import type { AgentService } from './testing/agent-service.ts';
import type { ApiFixture } from './testing/fixture.ts';

/** Fast commands, half of them one after the other, half of them 50 at once. */
const commands = 5_000;
const atOnce = 50;
/** Longer than the 45 s after which one client gives up a socket that says nothing. */
const silenceS = 70;

/** The official client, unmodified, on real processes. What is counted here is what users of the service this API comes from complained about: lost output and invented exits. */
describe('exec never lies', { concurrency: true }, () => {
  let api: ApiFixture<AgentService>;
  let sprite: Sprite;

  useAgentApi(
    async (opened) => {
      api = opened;
      sprite = await new SpritesClient(api.token, { baseURL: api.url }).createSprite('one');
    },
    { limits: { requestsPerMinute: 0 } },
  );

  /** Runs one command and looks at all it left. */
  async function check(index: number): Promise<void> {
    const { stdout, stderr, exitCode } = await sprite.execFile('sh', [
      '-c',
      `echo out ${index}; echo err ${index} >&2`,
    ]);
    assert.deepEqual([stdout, stderr, exitCode], [`out ${index}\n`, `err ${index}\n`, 0]);
  }

  it(`has the whole output of ${commands / 2} fast commands in sequence`, async () => {
    for (let index = 0; index < commands / 2; index++) await check(index);
  });

  it(`has the whole output of ${commands / 2} fast commands, ${atOnce} at once`, async () => {
    let next = commands / 2;
    const worker = async (): Promise<void> => {
      while (next < commands) await check(next++);
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
  });

  it(`waits for a command that is silent for ${silenceS} s`, async () => {
    const { stdout } = await sprite.execFile('sh', ['-c', `sleep ${silenceS}; echo end`]);
    assert.equal(stdout, 'end\n');
  });
});
