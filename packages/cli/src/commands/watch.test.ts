import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { CliFixture } from '../testing/run-cli.ts';

const patienceMs = 20_000;
let fixture: CliFixture;
before(async () => {
  fixture = await CliFixture.make();
});
after(() => fixture[Symbol.asyncDispose]());

/** A `sylph list -w` and what it has shown. */
function watching(...options: string[]): {
  sees: (part: string | RegExp) => Promise<string>;
  stop: () => Promise<void>;
} {
  const child = fixture.spawn(['list', '-w', ...options]);
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return {
    async sees(part) {
      const signal = AbortSignal.timeout(patienceMs);
      while (typeof part === 'string' ? !text.includes(part) : !part.test(text))
        await once(child.stdout, 'data', { signal });
      const seen = text;
      text = '';
      return seen;
    },
    async stop() {
      child.kill('SIGINT');
      await once(child, 'close');
    },
  };
}

test('shows sprites and their changes without asking for the list again', async () => {
  const { server } = fixture;
  server.addSprite('one', { image: 'debian' });
  const list = watching();
  assert.match(await list.sees('one'), /one +cold +debian/);
  Object.assign(server.sprites.get('one')!, { status: 'running', state: 'running' });
  assert.match(await list.sees('running'), /one +running +debian/);
  server.addSprite('two');
  assert.match(await list.sees('two'), /one .*\n *two +cold +minimal/);
  server.sprites.delete('one');
  assert.doesNotMatch(await list.sees('two'), /one/);
  server.drop();
  server.addSprite('three');
  await list.sees('three');
  await list.stop();
  assert.deepEqual(
    server.requests.filter((line) => line.startsWith('GET /v1/sprites?')),
    [],
  );
  assert.deepEqual(
    server.requests.filter((line) => line.startsWith('GET /v1/sprites/')),
    ['GET /v1/sprites/two', 'GET /v1/sprites/three'],
  );
  assert.equal(server.requests.filter((line) => line === 'GET /v1/sprites').length, 3);
});

test('prints the lines of the server with --json', async () => {
  const { server } = fixture;
  server.sprites.clear();
  server.addSprite('p-one');
  server.addSprite('q-one');
  const list = watching('--json', '--prefix', 'p-');
  const lines = (await list.sees(/heartbeat.*\n/))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { name?: string; type?: string });
  assert.deepEqual(
    lines.map(({ name, type }) => name ?? type),
    ['p-one', 'heartbeat'],
  );
  server.sprites.delete('p-one');
  await list.sees(/"type":"deleted","name":"p-one".*\n/);
  await list.stop();
});
