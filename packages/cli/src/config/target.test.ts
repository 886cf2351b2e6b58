import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Config } from './config-file.ts';
import { defaultUrl, resolveServer, resolveSprite, resolveUrl } from './target.ts';

const here = 'http://here:1';
const there = 'http://there:2';
const config: Config = {
  version: 1,
  current: { url: here, org: 'a' },
  servers: {
    [here]: { orgs: { a: { token: 'ta' }, b: { token: 'tb' } } },
    [there]: { orgs: { c: { token: 'tc' }, b: { token: 'tb2' } } },
  },
};
const empty: Config = { version: 1, current: null, servers: {} };
const file = (organization?: string) => ({ path: '/x/.sprite', sprite: 'filed', organization });

describe('the server', () => {
  test('option, environment, login, this machine', () => {
    const environment = { SYLPH_URL: 'http://env/', SPRITES_API_URL: 'http://other' };
    assert.equal(resolveUrl({ url: 'http://said' }, environment, config).url, 'http://said');
    assert.equal(resolveUrl({}, environment, config).url, 'http://env');
    assert.equal(resolveUrl({}, { SYLPH_URL: '', SPRITES_API_URL: 'http://other' }, config).url, 'http://other');
    assert.equal(resolveUrl({}, {}, config).url, here);
    assert.equal(resolveUrl({}, {}, empty).url, defaultUrl);
  });

  test('an organization known on one server only leads there', () => {
    assert.equal(resolveUrl({ org: 'c' }, {}, config).url, there);
    assert.equal(resolveUrl({ org: 'b' }, {}, config).url, here);
    assert.throws(() => resolveUrl({ org: 'b' }, {}, { ...config, current: null }), /several servers/);
  });

  test('the token: of the environment, of the organization that is meant', () => {
    assert.equal(resolveServer({}, { SYLPH_TOKEN: 'te' }, config, undefined).token, 'te');
    assert.equal(resolveServer({}, {}, config, undefined).token, 'ta');
    assert.equal(resolveServer({ org: 'b' }, {}, config, undefined).token, 'tb');
    assert.equal(resolveServer({}, { SYLPH_ORG: 'b' }, config, undefined).token, 'tb');
    assert.equal(resolveServer({}, {}, config, file('b')).token, 'tb');
    assert.equal(resolveServer({ org: 'a' }, {}, config, file('b')).token, 'ta');
    assert.equal(resolveServer({}, {}, config, file('elsewhere')).token, 'ta');
    assert.equal(resolveServer({ url: there }, {}, config, undefined).token, 'tc');
  });

  test('a token never goes to another server than its own', () => {
    assert.throws(() => resolveServer({ url: 'http://new' }, {}, config, undefined), /not logged in at http:\/\/new/);
    assert.throws(
      () => resolveServer({ url: there, org: 'a' }, {}, config, undefined),
      /not logged in to the organization a/,
    );
    assert.equal(resolveServer({}, { SPRITE_TOKEN: 'foreign' }, config, undefined).token, 'ta');
    assert.equal(
      resolveServer({}, { SPRITE_TOKEN: 'foreign', SPRITES_API_URL: here }, config, undefined).token,
      'foreign',
    );
    assert.equal(resolveServer({}, { SPRITE_TOKEN: 'foreign' }, empty, undefined).token, 'foreign');
  });
});

test('the sprite: named, environment, file', () => {
  assert.equal(resolveSprite({ sprite: 's' }, undefined, { SYLPH_SPRITE: 'e' }, file()).sprite, 's');
  assert.equal(resolveSprite({}, 'n', { SYLPH_SPRITE: 'e' }, file()).sprite, 'n');
  assert.equal(resolveSprite({ sprite: 'n' }, 'n', {}, undefined).sprite, 'n');
  assert.equal(resolveSprite({}, undefined, { SYLPH_SPRITE: 'e' }, file()).sprite, 'e');
  assert.equal(resolveSprite({}, undefined, {}, file()).sprite, 'filed');
  assert.throws(() => resolveSprite({ sprite: 's' }, 'n', {}, undefined), /two sprites are named/);
  assert.throws(() => resolveSprite({}, undefined, {}, undefined), /no sprite is named/);
});
