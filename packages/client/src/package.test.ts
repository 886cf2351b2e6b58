import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { FakeServer } from './testing/index.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../..', import.meta.url));
const packer = fileURLToPath(new URL('../pack.ts', import.meta.url));

const program = `
import { ExecError, SpritesClient, type ExecResult, type Sprite } from '@sylph/client';

const [url = '', token = ''] = process.argv.slice(2);
const client = new SpritesClient(token, { baseURL: url });
const sprite: Sprite = await client.createSprite('packed', { labels: ['a'] });
const { stdout }: ExecResult<Buffer> = await sprite.exec('echo hello');
const cat = sprite.spawn('cat');
cat.stdin.end('in');
let said = '';
for await (const bytes of cat.stdout) said += (bytes as Buffer).toString();
const failure = await sprite.execFile('sh', ['-c', 'exit 3']).catch((error: unknown) => (error instanceof ExecError ? error.exitCode : error));
const statuses: string[] = (await client.sylph.sprites.page()).sprites.map(({ status }) => status);
console.log(JSON.stringify([stdout, said, await cat.wait(), failure, statuses]));
`;

test('what is packed installs without the workspace, compiles, and runs', async () => {
  await using server = await FakeServer.start();
  const dir = await mkdtemp(path.join(tmpdir(), 'sylph-package-'));
  try {
    const { stdout } = await run(process.execPath, [packer, dir]);
    const archives = [stdout.trim()];
    // From what is installed here already: nothing is downloaded.
    for (const name of ['ws', 'zod']) {
      const packed = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', dir], {
        cwd: path.join(root, 'node_modules', name),
      });
      const [told] = Object.values(JSON.parse(packed.stdout) as Record<string, { filename: string }>);
      archives.push(path.join(dir, told?.filename ?? ''));
    }
    await writeFile(path.join(dir, 'package.json'), '{"type":"module"}');
    await run('npm', ['install', '--offline', '--no-audit', '--no-fund', ...archives], { cwd: dir });

    await writeFile(path.join(dir, 'program.ts'), program);
    await mkdir(path.join(dir, 'node_modules/@types'), { recursive: true });
    for (const types of ['@types/node', 'undici-types'])
      await symlink(path.join(root, 'node_modules', types), path.join(dir, 'node_modules', types));
    const options = [
      '--module',
      'nodenext',
      '--target',
      'es2022',
      '--strict',
      '--skipLibCheck',
      'false',
      '--types',
      'node',
    ];
    await run(path.join(root, 'node_modules/.bin/tsc'), [...options, 'program.ts'], { cwd: dir }).catch(
      ({ stdout }: { stdout: string }) => assert.fail(stdout),
    );
    assert.doesNotMatch(await readFile(path.join(dir, 'program.js'), 'utf8'), /: Sprite/);
    const said = await run(process.execPath, ['program.js', server.url, server.token], { cwd: dir });
    assert.deepEqual(JSON.parse(said.stdout), ['hello\n', 'in', 0, 3, ['cold']]);

    const web = `const web = await import('@sylph/client'); console.log(typeof web.webTransport, typeof web.ProxySession);`;
    const browser = await run(process.execPath, ['--conditions=browser', '--input-type=module', '-e', web], {
      cwd: dir,
    });
    assert.equal(browser.stdout, 'function undefined\n');
  } finally {
    await rm(dir, { recursive: true });
  }
});
