import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { CliFixture, type Run } from './testing/run-cli.ts';

let fixture: CliFixture;
let remote: string;
before(async () => {
  fixture = await CliFixture.make();
  remote = await fixture.server.files.at('/home/sprite');
});
after(() => fixture[Symbol.asyncDispose]());

const run = (...words: string[]): Promise<Run> => fixture.run(words);

test('a file goes there and back, with its mode', async () => {
  const bytes = randomBytes(3_000_000);
  const local = join(fixture.home, 'a b');
  await writeFile(local, bytes);
  await chmod(local, 0o750);
  assert.equal((await run('cp', local, 'one:')).code, 0);
  assert.ok((await readFile(join(remote, 'a b'))).equals(bytes));
  assert.equal((await stat(join(remote, 'a b'))).mode & 0o777, 0o750);
  const { stdout, code } = await run('cp', '--json', '-s', 'one', ':a b', join(fixture.home, 'back'));
  assert.deepEqual([code, JSON.parse(stdout.toString()).bytes], [0, bytes.length]);
  assert.ok((await readFile(join(fixture.home, 'back'))).equals(bytes));
  assert.equal((await stat(join(fixture.home, 'back'))).mode & 0o777, 0o750);
});

test('goes on where a connection broke off, both ways', async () => {
  const bytes = randomBytes(2_000_000);
  const local = join(fixture.home, 'big');
  await writeFile(local, bytes);
  fixture.server.files.breaks.push(500_000, 300_000, 100);
  assert.equal((await run('file', 'push', '-s', 'one', local, '/home/sprite/big')).code, 0);
  assert.ok((await readFile(join(remote, 'big'))).equals(bytes));
  fixture.server.files.breaks.push(700_000, 10, 400_000);
  assert.equal((await run('file', 'pull', '-s', 'one', 'big', join(fixture.home, 'big2'))).code, 0);
  assert.ok((await readFile(join(fixture.home, 'big2'))).equals(bytes));
});

test('directories with -r, into what is there or under the new name', async () => {
  const tree = join(fixture.home, 'tree');
  await mkdir(join(tree, 'in'), { recursive: true });
  await writeFile(join(tree, 'in/f'), 'text');
  await symlink('f', join(tree, 'in/link'));
  assert.match((await run('cp', tree, 'one:')).stderr, /-r/);
  assert.equal((await run('cp', '-r', tree, 'one:')).code, 0);
  assert.equal(await readFile(join(remote, 'tree/in/link'), 'utf8'), 'text');
  assert.equal((await run('cp', '-r', tree, 'one:other')).code, 0);
  assert.deepEqual(await readdir(join(remote, 'other')), ['in']);
  assert.equal((await run('cp', '-r', `${tree}/.`, 'one:other')).code, 0);
  assert.deepEqual(await readdir(join(remote, 'other')), ['in']);
  assert.equal((await run('cp', '-r', 'one:tree', fixture.home + '/got')).code, 0);
  assert.equal(await readFile(join(fixture.home, 'got/in/link'), 'utf8'), 'text');
});

test('says what is wrong', async () => {
  assert.equal((await run('cp', 'a', 'b')).code, 2);
  assert.equal((await run('cp', 'one:a', 'one:b')).code, 2);
  assert.match((await run('cp', 'one:none', '.')).stderr, /no such file/);
  assert.match((await run('cp', join(fixture.home, 'none'), 'one:')).stderr, /no such file/);
});

test('edits, refuses when the file changed meanwhile, and keeps the text', async () => {
  await writeFile(join(remote, 'conf'), 'old\n');
  const edit = (editor: string) => fixture.run(['edit', 'one:conf'], { env: { EDITOR: editor } });
  assert.match((await edit('true')).stdout.toString(), /unchanged/);
  assert.equal((await edit("sed -i 's/old/new/'")).code, 0);
  assert.equal(await readFile(join(remote, 'conf'), 'utf8'), 'new\n');
  const collided = await edit(`sh -c 'echo mine > "$1"; echo theirs, longer > ${join(remote, 'conf')}' sh`);
  assert.equal(collided.code, 1);
  const kept = /kept in (\S+)/.exec(collided.stderr)?.[1] ?? '';
  assert.equal(await readFile(kept, 'utf8'), 'mine\n');
  assert.equal((await stat(kept)).mode & 0o777, 0o600);
  assert.equal(await readFile(join(remote, 'conf'), 'utf8'), 'theirs, longer\n');
  assert.match((await edit('false')).stderr, /kept in/);
});
