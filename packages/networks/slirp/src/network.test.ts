import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

// In a network namespace of its own, so that the fence goes up around nobody else.
const program = `
  const { SlirpNetwork } = await import(${JSON.stringify(new URL('network.ts', import.meta.url).href)});
  const network = new SlirpNetwork({ first: 100000, last: 100001 }, 'auto');
  await network.open();
  const attach = (rules) => network.attach({ policy: async () => ({ rules }) });
  const [free, bound] = [await attach([]), await attach([{ domain: 'example.com', action: 'allow' }])];
  console.log(JSON.stringify([network.policyObstacle, free.restricted, bound.restricted]));
`;

test('a sprite that has a policy gets no way out where none can be enforced', () => {
  const said = execFileSync('unshare', ['--net', process.execPath, '--input-type=module', '--eval', program], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  assert.deepEqual(JSON.parse(said), ['its sprites use user-mode networking', false, true]);
});
