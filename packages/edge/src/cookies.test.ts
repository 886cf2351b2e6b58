import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ownCookies, setCookie, setsOwnCookie, withoutOwnCookies } from './cookies.ts';

describe('own cookies', () => {
  it('are taken out of what a guest gets, and nothing else is', () => {
    const cases: [header: string, left: string | undefined][] = [
      ['a=1; b=2', 'a=1; b=2'],
      ['sylph-edge=x', undefined],
      ['a=1; sylph-edge=x; b=2', 'a=1; b=2'],
      ['a=1;sylph-edge=x;__Host-sylph-edge=y;sylph-edge-login=z', 'a=1'],
      ['sylph-edge =x; c=3', 'c=3'],
      ['=sylph-edge=x; c=3', 'c=3'],
      ['sylph-edge', undefined],
      ['sylph-edges=x; not-sylph-edge=y', 'sylph-edges=x; not-sylph-edge=y'],
      ['a="sylph-edge=x"', 'a="sylph-edge=x"'],
      [' ; ;', ' ; ;'],
    ];
    for (const [header, left] of cases) assert.equal(withoutOwnCookies(header), left, header);
  });

  it('cannot be set by a guest', () => {
    for (const header of [
      'sylph-edge=x',
      'sylph-edge=x; Path=/',
      ' sylph-edge = x',
      '=sylph-edge=x',
      '__Host-sylph-edge=x; Secure',
      'sylph-edge-login=x',
      'sylph-edge',
    ])
      assert.ok(setsOwnCookie(header), header);
    for (const header of ['a=1', 'a=sylph-edge', 'a=1; sylph-edge=x', 'sylph-edgy=1'])
      assert.ok(!setsOwnCookie(header), header);
  });

  it('are read back, each under the name for its connection', () => {
    for (const secure of [true, false]) {
      const header = setCookie('sylph-edge', 'value', { secure, maxAgeS: 60 });
      assert.ok(setsOwnCookie(header));
      assert.match(header, /; HttpOnly; SameSite=Lax/);
      assert.doesNotMatch(header, /domain/i);
      assert.equal(header.includes('; Secure'), secure);
      const sent = `a=1; ${header.split(';', 1)[0]}; b=2`;
      assert.deepEqual(ownCookies(sent, 'sylph-edge', secure), ['value']);
      assert.deepEqual(ownCookies(sent, 'sylph-edge', !secure), [], 'a plain one does not pass for a secure one');
      assert.deepEqual(ownCookies(sent, 'sylph-edge-login', secure), []);
    }
    assert.equal(ownCookies('sylph-edge=1; '.repeat(1_000), 'sylph-edge', false).length, 4);
  });

  it('never survive, whatever stands around them', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.string(), fc.constant('sylph-edge=x'), fc.constant('__Host-sylph-edge=y'))),
        (parts) => {
          const left = withoutOwnCookies(parts.join(';')) ?? '';
          for (const secure of [true, false]) assert.deepEqual(ownCookies(left, 'sylph-edge', secure), []);
        },
      ),
    );
  });
});
