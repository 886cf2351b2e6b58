import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { SylphError } from '@sylph/model';
import { ApiFixture } from '../api/testing/fixture.ts';
import { resolveConfig } from '../config.ts';
import { EdgeService } from './edge.ts';

/** An edge with these settings, and what it needs. */
async function withEdge(
  settings: Record<string, string>,
  work: (edge: EdgeService, open: () => Promise<void>, dir: string) => Promise<void>,
): Promise<void> {
  const dir = await mkdtemp(path.join(tmpdir(), 'sylph-edge-'));
  try {
    await using api = await ApiFixture.open();
    const config = resolveConfig({ 'data-dir': dir, ...settings }, { environment: {} });
    await using edge = new EdgeService(config);
    const { service, repository, logger: log } = api;
    await work(edge, () => edge.open({ service, repository, log, ready: () => true }), dir);
  } finally {
    await rm(dir, { recursive: true });
  }
}

describe('the edge of a daemon', () => {
  it('shows URLs as people open them', async () => {
    const shown: [settings: Record<string, string>, url: string][] = [
      [{}, 'http://one-abc.sprites.localhost:7780'],
      [{ 'edge-listen': '0.0.0.0:80', domain: 'Example.COM' }, 'http://one-abc.example.com'],
      [
        { 'edge-listen': '0.0.0.0:443', 'tls-cert': 'x', 'tls-key': 'y', domain: 'example.com' },
        'https://one-abc.example.com',
      ],
      [{ 'edge-listen': 'none' }, 'http://one-abc.sprites.localhost'],
      [{ 'edge-url': 'https://*.example.com' }, 'https://one-abc.example.com'],
    ];
    for (const [settings, url] of shown)
      await withEdge(settings, async ({ urls }) => assert.equal(urls.of('one', 'abc'), url));
    await withEdge({ 'edge-url': 'https://*.example.com' }, async ({ urls }) => {
      assert.equal(urls.of('one', 'abc', 3000), 'https://3000--one-abc.example.com');
      assert.equal(urls.of('80--one', 'abc'), 'https://0--80--one-abc.example.com');
      assert.equal(urls.login(), 'https://login.example.com');
    });
  });

  it('listens where it is told, with a key of its own', async () => {
    await withEdge({ 'edge-listen': '127.0.0.1:0' }, async (edge, open, dir) => {
      await open();
      const { port, hostname } = new URL(edge.urls.of('one', 'abc'));
      assert.equal(hostname, 'one-abc.sprites.localhost');
      assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 404);
      const key = path.join(dir, 'edge.key');
      assert.deepEqual([(await stat(key)).mode & 0o777, (await readFile(key)).length], [0o600, 32]);
    });
  });

  it('says which setting is wrong', async () => {
    for (const [settings, text] of [
      [{ 'tls-cert': 'x' }, /tls-cert and tls-key are needed together/],
      [{ 'edge-redirect-listen': '127.0.0.1:0' }, /needs tls-cert/],
      [{ 'edge-listen': '127.0.0.1:0', 'tls-cert': '/nowhere', 'tls-key': '/nowhere' }, /cannot be served.*ENOENT/],
    ] as [Record<string, string>, RegExp][])
      await withEdge(settings, (_edge, open) => assert.rejects(open, text));
    await withEdge({ 'edge-listen': '127.0.0.1:0' }, async (first, open) => {
      await open();
      const taken = `127.0.0.1:${new URL(first.urls.of('one', 'abc')).port}`;
      await withEdge({ 'edge-listen': taken }, (_edge, openToo) =>
        assert.rejects(
          openToo,
          (error) => error instanceof SylphError && /EADDRINUSE/.test(error.message) && /edge-listen/.test(error.hint),
        ),
      );
    });
  });
});
