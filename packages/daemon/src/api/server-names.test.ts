import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpriteUrls } from '@sylph/edge';
import { isServerName, type ServerNames } from './server-names.ts';

/** A server behind a proxy where `template` is not empty. */
function serverOf(domain: string, template: string): ServerNames {
  const urls = new SpriteUrls({ template, domain, tls: true, port: () => 443 });
  return { domain, spriteUrl: (...sprite) => urls.of(...sprite) };
}

test('no sprite gets a name of the server, as it knows itself or as people know it, or one above', () => {
  const server = serverOf('sprites.example.com', 'https://*.shown.example.org:8443');
  for (const name of [
    ...['sprites.example.com', 'login.sprites.example.com', 'one-abc.sprites.example.com', 'a.b.sprites.example.com'],
    ...['shown.example.org', 'login.shown.example.org', 'one-abc.shown.example.org'],
    ...['example.com', 'example.org', '127.0.0.1', 'com'],
  ])
    assert.equal(isServerName(name, server), true, name);
  for (const name of ['app.example.com', 'mysprites.example.com', 'example.net', 'login.example.net'])
    assert.equal(isServerName(name, server), false, name);
  assert.equal(isServerName('app.example.com', serverOf('sprites.localhost', '')), false);
  assert.equal(isServerName('app.example.com', serverOf('sprites.localhost', 'https://*')), false);
});
