import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as official from '@fly/sprites';
import * as ours from './index.ts';
import { RealDaemon } from './testing/real-daemon.ts';
import { programs } from './testing/sdk-programs.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

describe('programs of the npm SDK', { concurrency: true }, () => {
  let daemon: RealDaemon;
  before(async () => {
    daemon = await RealDaemon.start();
  });
  after(() => daemon[Symbol.asyncDispose]());

  test('compile against our types', async () => {
    // The daemon's types are checked by everybody's check; here the name of the SDK means our client.
    const check = promisify(execFile)(
      `${root}/node_modules/.bin/tsc`,
      ['-p', here('testing/sdk-names.tsconfig.json')],
      {
        cwd: root,
      },
    );
    await check.catch(({ stdout }: { stdout: string }) => assert.fail(stdout));
  });

  for (const [name, program] of Object.entries(programs))
    test(`see the same with ours: ${name}`, async () => {
      const place = { url: daemon.url, token: daemon.token };
      const theirs = await program(official, { ...place, prefix: 'theirs-' });
      const same = await program(ours as unknown as typeof official, { ...place, prefix: 'others-' });
      const text = (seen: unknown): unknown => JSON.parse(JSON.stringify(seen).replaceAll(/theirs-|others-/g, 'x-'));
      assert.deepEqual(text(same), text(theirs));
    });
});
