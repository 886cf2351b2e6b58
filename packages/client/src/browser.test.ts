import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes, createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { SpritesClient, SylphClient, webTransport, type Transport } from './browser.ts';
import { FakeServer } from './testing/index.ts';
import { gather } from './streams.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Files an entry loads, with everything it loads that is none of ours. */
async function loadedBy(entry: URL): Promise<{ files: URL[]; others: string[] }> {
  const files = [entry];
  const others: string[] = [];
  for (const file of files) {
    const text = await readFile(file, 'utf8');
    // Types are erased; what is left is loaded.
    for (const [, types, named] of text.matchAll(/^(?:import|export)\s+(type\s)?[^;]*?from\s+'([^']+)';/gms)) {
      if (types !== undefined) continue;
      const path = named as string;
      if (!path.startsWith('.')) others.push(`${file.pathname}: ${path}`);
      else if (!files.some((each) => each.href === new URL(path, file).href)) files.push(new URL(path, file));
    }
    for (const [found] of text.matchAll(/\bimport\(\s*'[^']+'\s*\)|\brequire\(/g))
      others.push(`${file.pathname}: ${found}`);
  }
  return { files, others };
}

describe('the entry for browsers', () => {
  let server: FakeServer;
  before(async () => {
    server = await FakeServer.start();
    server.addSprite('one');
  });
  after(() => server[Symbol.asyncDispose]());

  test('loads nothing but files of its own', async () => {
    const { files, others } = await loadedBy(new URL('./browser.ts', import.meta.url));
    assert.deepEqual(others, []);
    assert.ok(files.length > 30, `only ${files.length} files`);
    assert.deepEqual(
      files.filter(({ pathname }) => /\/(node|testing)\//.test(pathname)),
      [],
    );
    // The walk finds what it looks for.
    assert.notDeepEqual((await loadedBy(new URL('./index.ts', import.meta.url))).others, []);
  });

  test('compiles where only the web is known', async () => {
    // Errors of the model's own files are not counted: only their types are used.
    const output = await promisify(execFile)(`${root}/node_modules/.bin/tsc`, [
      '-p',
      fileURLToPath(new URL('./testing/web.tsconfig.json', import.meta.url)),
    ]).then(
      ({ stdout }) => stdout,
      ({ stdout }: { stdout: string }) => stdout,
    );
    assert.deepEqual(
      output.split('\n').filter((line) => line.includes('error') && !/\bmodel\/src\//.test(line)),
      [],
    );
  });

  test('touches nothing that only Node has', async () => {
    const program = `
      // Node's own fetch needs them: only looking at them from our files counts.
      const touched = new Set();
      for (const name of ['Buffer', 'process', 'setImmediate', 'global', 'require']) {
        const value = globalThis[name];
        Object.defineProperty(globalThis, name, {
          get() {
            if (/packages\\/client\\//.test(new Error().stack.split('\\n')[2] ?? '')) touched.add(name);
            return value;
          },
        });
      }
      const { SpritesClient, webTransport } = await import('@sylph/client');
      const transport = webTransport({ webSocket: (url, headers) => new WebSocket(url, { headers }) });
      const client = new SpritesClient('${server.token}', { baseURL: '${server.url}', transport });
      const sprite = client.sprite('one');
      const cat = sprite.spawn('cat');
      const writer = cat.stdin.getWriter();
      await writer.write(new TextEncoder().encode('in'));
      await writer.close();
      const said = await new Response(cat.stdout).text();
      const { stdout } = await sprite.execFileHTTP('echo', ['over http']).catch((error) => ({ stdout: error.message }));
      console.log(JSON.stringify([said, await cat.wait(), (await sprite.exec('echo hello')).stdout, stdout, [...touched]]));
    `;
    server.faults.framesBytes = 3;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--conditions=browser', '--input-type=module', '-e', program],
      { cwd: fileURLToPath(new URL('.', import.meta.url)) },
    );
    assert.deepEqual(JSON.parse(stdout), ['in', 0, 'hello\n', 'over http\n', []]);
  });

  test('is chosen wherever it is not Node', async () => {
    const { exports } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')) as {
      exports: Record<string, Record<string, string>>;
    };
    assert.deepEqual(Object.keys(exports['.'] ?? {}), ['browser', 'node', 'default']);
    assert.equal(exports['.']?.['browser'], exports['.']?.['default']);
  });
});

describe('the transport of the web', () => {
  let server: FakeServer;
  let transport: Transport;
  let client: SylphClient;
  before(async () => {
    server = await FakeServer.start();
    server.addSprite('one');
    transport = webTransport({ webSocket: (url, headers) => new WebSocket(url, { headers }) });
    client = new SylphClient({ baseUrl: server.url, token: server.token, transport });
  });
  after(() => server[Symbol.asyncDispose]());

  test('output and input go on where a connection broke', async () => {
    const input = randomBytes(4_000_000);
    const session = await client.exec('one', { cmd: ['sh', '-c', 'sleep 0.2; cat; exit 5'], stdin: true });
    const feeding = (async () => {
      for (let at = 0; at < input.length; at += 50_000) {
        await session.stdin.write(input.subarray(at, at + 50_000));
        if (at === 1_000_000 || at === 2_500_000) server.drop();
      }
      await session.stdin.end();
    })();
    const parts = await gather(session.output);
    await feeding;
    assert.equal(sha256(Buffer.concat(parts.map(({ bytes }) => bytes))), sha256(input));
    assert.equal((await session.exit).code, 5);
  });

  test('a reader that rests for long has the connection taken up again, without a byte lost', async () => {
    const events: string[] = [];
    const session = await client.exec('one', {
      cmd: ['sh', '-c', 'head -c 60000000 /dev/zero; echo end >&2'],
      onConnection: ({ type }) => events.push(type),
    });
    let bytes = 0;
    for await (const chunk of session.output) {
      if (bytes === 0) await new Promise((resolve) => setTimeout(resolve, 1000));
      bytes += chunk.bytes.length;
    }
    assert.equal(bytes, 60_000_004);
    assert.deepEqual(events.slice(0, 2), ['lost', 'resumed']);
  });

  test('HTTP exec needs frames that say their length; files are gathered', async () => {
    server.faults.framesBytes = 0;
    await assert.rejects(client.runHttp('one', { cmd: ['true'] }), { code: 'protocol' });
    server.faults.framesBytes = 7;
    assert.equal((await client.runHttp('one', { cmd: ['cat'], input: 'in' })).text, 'in');
    const content = randomBytes(300_000);
    const files = client.files('one');
    await files.write(
      '/web.bin',
      (async function* () {
        yield content.subarray(0, 100_000);
        yield content.subarray(100_000);
      })(),
      { mkdirs: true },
    );
    assert.equal(sha256(await files.readBytes('/web.bin')), sha256(content));
  });

  test('commands have the streams of the web, and tell of failures', async () => {
    const sprite = new SpritesClient(client).sprite('one');
    const told: unknown[] = [];
    const command = sprite.spawn('sh', ['-c', 'echo out; echo err >&2; exit 3']);
    command.once('spawn', () => told.push('spawn')).on('exit', (code) => told.push(code));
    const [out, err] = await Promise.all([new Response(command.stdout).text(), new Response(command.stderr).text()]);
    assert.deepEqual([out, err, await command.wait(), command.exitCode()], ['out\n', 'err\n', 3, 3]);
    assert.deepEqual(told, ['spawn', 3]);
    const unread = sprite.spawn('sh', ['-c', 'head -c 3000000 /dev/zero']);
    assert.equal(await unread.wait(), 0);
    await assert.rejects(new SpritesClient(client).sprite('none').spawn('true').wait(), { code: 'connection_failed' });
    await assert.rejects(sprite.execFile('sh', ['-c', 'echo no; exit 9']), {
      name: 'ExecError',
      exitCode: 9,
      stdout: 'no\n',
    });
  });

  test('the platform’s own WebSocket carries the token, for commands and ports', async () => {
    const bare = new SylphClient({ baseUrl: server.url, token: server.token, transport: webTransport() });
    const session = await bare.exec('one', { cmd: ['echo', 'hello'] });
    assert.equal(Buffer.concat((await gather(session.output)).map(({ bytes }) => bytes)).toString(), 'hello\n');
    await using connection = await bare.dial('one', { port: Number(new URL(server.url).port) });
    assert.equal(connection.halfClose, true);
    const other = new SylphClient({ baseUrl: server.url, token: 'a/b/c/other', transport: webTransport() });
    await assert.rejects(other.exec('one', { cmd: ['true'] }), { code: 'connection_failed' });
  });

  test('what a browser does not tell is said so; signals and deadlines end attempts', async () => {
    const bare = new SylphClient({ baseUrl: server.url, token: server.token, transport: webTransport() });
    await assert.rejects(bare.exec('none', { cmd: ['true'] }), { code: 'connection_failed' });
    const reason = new Error('enough');
    await assert.rejects(client.exec('one', { cmd: ['true'], signal: AbortSignal.abort(reason) }), reason);
    server.faults.silent = true;
    const timeouts = { connectMs: 50, lifecycleMs: 50 };
    const hasty = new SylphClient({ baseUrl: server.url, token: server.token, transport, timeouts });
    await assert.rejects(hasty.exec('one', { cmd: ['true'] }), { code: 'timeout' });
    await assert.rejects(hasty.runHttp('one', { cmd: ['true'] }), { code: 'timeout' });
    server.faults.silent = false;
    server.drop();
  });
});
