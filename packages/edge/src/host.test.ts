import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { labelOf, parseAuthority, placeOf } from './host.ts';

const domain = 'sprites.localhost';

describe('a Host header', () => {
  it('is a name or address with or without a port', () => {
    const good: [text: string, hostname: string, port: number | null][] = [
      ['a-b.sprites.localhost', 'a-b.sprites.localhost', null],
      ['A-B.Sprites.LOCALHOST:7780', 'a-b.sprites.localhost', 7780],
      ['a-b.sprites.localhost.', 'a-b.sprites.localhost', null],
      ['a-b.sprites.localhost.:80', 'a-b.sprites.localhost', 80],
      ['example.com:', 'example.com', null],
      ['127.0.0.1:80', '127.0.0.1', 80],
      ['[::1]:80', '[::1]', 80],
      ['[2001:DB8::1]', '[2001:db8::1]', null],
      ['xn--bcher-kva.example', 'xn--bcher-kva.example', null],
      [Buffer.from('Bücher.example').toString('latin1'), 'xn--bcher-kva.example', null],
    ];
    for (const [text, hostname, port] of good) assert.deepEqual(parseAuthority(text), { hostname, port }, text);
  });

  it('is refused where it is something else', () => {
    const bad = [
      '',
      '.',
      'a..b',
      'a b',
      'a@b',
      'a/b',
      'a?b',
      'a#b',
      'a\\b',
      'a,b',
      'a:b',
      'a:80:80',
      'a:0',
      'a:65536',
      'a:999999',
      'a:-1',
      ':80',
      '[::1',
      '::1',
      '[1.2.3.4]',
      '[::1]x',
      '[::1%25lo]',
      '-a.b',
      'a-.b',
      `${'a'.repeat(64)}.b`,
      `${'a.'.repeat(130)}b`,
      'a\0b',
      'a\r\nb',
      '\xff\xfe.example',
    ];
    for (const text of bad) assert.equal(parseAuthority(text), undefined, JSON.stringify(text));
  });

  it('never makes the parser throw, and what it reads it reads again', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.webAuthority()), (text) => {
        const read = parseAuthority(text);
        if (read === undefined) return;
        const again = `${read.hostname}${read.port === null ? '' : `:${read.port}`}`;
        assert.deepEqual(parseAuthority(again), read);
        assert.ok(placeOf(read.hostname, domain).kind.length > 0);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('the place a host stands for', () => {
  it('is a sprite, split at the last dash, or one of its ports', () => {
    const sprites: [label: string, name: string, urlSuffix: string, port: number | null][] = [
      ['one-abc123', 'one', 'abc123', null],
      ['my-app-abc123', 'my-app', 'abc123', null],
      ['3000--one-abc123', 'one', 'abc123', 3000],
      ['65535--a-b-c', 'a-b', 'c', 65535],
      ['0--8080--one-abc', '8080--one', 'abc', null],
      ['80--8080--one-abc', '8080--one', 'abc', 80],
      ['8080-one-abc', '8080-one', 'abc', null],
      ['x--y-abc', 'x--y', 'abc', null],
    ];
    for (const [label, name, urlSuffix, port] of sprites)
      assert.deepEqual(placeOf(`${label}.${domain}`, domain), { kind: 'sprite', name, urlSuffix, port }, label);
  });

  it('is a domain, the login page, or nothing', () => {
    assert.deepEqual(placeOf('app.example.com', domain), { kind: 'domain', domain: 'app.example.com' });
    assert.deepEqual(placeOf(`login.${domain}`, domain), { kind: 'login' });
    for (const host of [
      domain,
      'localhost',
      '127.0.0.1',
      '[::1]',
      `plain.${domain}`,
      `a.one-abc.${domain}`,
      `65536--one-abc.${domain}`,

      `-abc.${domain}`,
      `one-.${domain}`,
      `_x-abc.${domain}`,
    ])
      assert.equal(placeOf(host, domain).kind, 'nothing', host);
    assert.equal(placeOf(`evil${domain}`, domain).kind, 'domain', 'a name that only ends alike is another domain');
  });

  it('is found again by the label that is made for it', () => {
    const part = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
    const suffix = fc.stringMatching(/^[a-z0-9]{6}$/);
    fc.assert(
      fc.property(part, suffix, fc.option(fc.integer({ min: 1, max: 65_535 })), (name, urlSuffix, port) => {
        assert.deepEqual(placeOf(`${labelOf(name, urlSuffix, port)}.${domain}`, domain), {
          kind: 'sprite',
          name,
          urlSuffix,
          port,
        });
      }),
    );
  });
});
