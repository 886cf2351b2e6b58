import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { assertErrorBody, ApiFixture } from './testing/fixture.ts';

const run = promisify(execFile);

describe('SSH keys', () => {
  let api: ApiFixture;
  let dir: string;

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sylph-keys-'));
    api = await ApiFixture.open();
  });
  after(async () => {
    await api[Symbol.asyncDispose]();
    await rm(dir, { recursive: true });
  });

  async function makeKey(name: string, ...options: string[]): Promise<{ line: string; fingerprint: string }> {
    const file = join(dir, name);
    await run('ssh-keygen', ['-q', '-N', '', '-C', `${name}@test`, '-f', file, ...options]);
    const { stdout } = await run('ssh-keygen', ['-l', '-f', `${file}.pub`]);
    return { line: await readFile(`${file}.pub`, 'utf8'), fingerprint: stdout.split(' ')[1] ?? '' };
  }

  for (const [name, ...options] of [
    ['ed', '-t', 'ed25519'],
    ['ec', '-t', 'ecdsa', '-b', '384'],
    ['rsa', '-t', 'rsa', '-b', '2048'],
  ] as [string, ...string[]][]) {
    test(`a key of kind ${name} is added under its comment, listed and removed`, async () => {
      const { line, fingerprint } = await makeKey(name, ...options);
      const added = await api.json('POST', '/v1/ssh-keys', { body: { public_key: line } });
      assert.equal(added.status, 201);
      assert.equal(added.body.name, `${name}@test`);
      assert.equal(added.body.fingerprint, fingerprint);
      assert.equal(added.body.last_used_at, null);
      const again = await api.json('POST', '/v1/ssh-keys', { body: { public_key: line } });
      assert.equal(again.status, 409);
      assert.equal(again.body.code, 'ssh_key_taken');
      const listed = await api.json('GET', '/v1/ssh-keys');
      assert.deepEqual(listed.body, { keys: [added.body], server: null });
      assert.equal((await api.json('DELETE', `/v1/ssh-keys/${added.body.id}`)).status, 204);
      assert.equal((await api.json('DELETE', `/v1/ssh-keys/${added.body.id}`)).status, 404);
      assert.deepEqual((await api.json('GET', '/v1/ssh-keys')).body.keys, []);
    });
  }

  test('what is no public key that lets in is refused, with the reason', async () => {
    const { line } = await makeKey('ok', '-t', 'ed25519');
    const small = await makeKey('small', '-t', 'rsa', '-b', '1024');
    const [type = '', blob = ''] = line.split(' ');
    const secret = await readFile(join(dir, 'ok'), 'utf8');
    for (const [text, reason] of [
      ['', /too small|>=1|at least/i],
      ['hello', /kind of key/],
      [secret, /private key/],
      [`${line}${small.line}`, /one line/],
      [`command="x" ${line}`, /without options/],
      [`${type} ${blob.slice(0, 20)}`, /damaged/],
      [`ssh-rsa ${blob}`, /damaged/],
      ['ssh-dss AAAAB3NzaC1kc3M=', /kind of key/],
      [small.line, /1024 bits/],
      ['a'.repeat(20_000), /too big|16384|at most/i],
    ] as [string, RegExp][]) {
      const answer = await api.json('POST', '/v1/ssh-keys', { body: { public_key: text } });
      assert.equal(answer.status, 400, text.slice(0, 40));
      assertErrorBody(answer.body, text.slice(0, 40));
      assert.match(answer.body.message, reason);
    }
    assert.deepEqual((await api.json('GET', '/v1/ssh-keys')).body.keys, []);
  });
});
