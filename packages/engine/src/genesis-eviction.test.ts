import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { genesesKept, genesesPerOrg, genesesToRemove, type GenesisUser } from './genesis-eviction.ts';

const keys = (from: number, count: number, prefix = 'k'): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${from + index}`);
const usedBy = (user: GenesisUser, names: string[]): [string, GenesisUser][] => names.map((name) => [name, user]);
const none = (): boolean => false;

test('what nobody used goes first, then the oldest', () => {
  const recent = new Map(usedBy(null, keys(0, genesesKept)));
  assert.deepEqual(genesesToRemove(['unused', ...recent.keys()], recent, none), ['unused']);
  recent.set('new', null);
  assert.deepEqual(genesesToRemove([...recent.keys()], recent, none), ['k0']);
  assert.deepEqual(
    genesesToRemove([...recent.keys()], recent, (key) => key === 'k0'),
    ['k1'],
  );
});

test('who has too many to himself loses his own, also where they are newer', () => {
  const few = keys(0, genesesPerOrg, 'few');
  const many = keys(0, genesesKept - genesesPerOrg + 2, 'many');
  const recent = new Map([...usedBy('a', few), ...usedBy('b', many)]);
  assert.deepEqual(genesesToRemove([...recent.keys()], recent, none), ['many0', 'many1']);
});

test('one alone may have all the room', () => {
  const recent = new Map(usedBy('a', keys(0, genesesKept)));
  assert.deepEqual(genesesToRemove([...recent.keys()], recent, none), []);
});

test('as many go as have to, no spared one, and no organization below its share while another is above', () => {
  const user = fc.constantFrom<GenesisUser>('a', 'b', 'c', null);
  const each = fc.record({ user: fc.option(user, { nil: undefined }), spared: fc.boolean() });
  fc.assert(
    fc.property(fc.array(each, { maxLength: 40 }), (all) => {
      const names = keys(0, all.length);
      const of = (name: string): (typeof all)[number] => all[names.indexOf(name)] as (typeof all)[number];
      const recent = new Map(
        names.flatMap((name) => (of(name).user === undefined ? [] : [[name, of(name).user ?? null] as const])),
      );
      const removed = genesesToRemove(names, recent, (name) => of(name).spared);
      const removable = all.filter(({ spared }) => !spared).length;
      assert.equal(removed.length, Math.max(0, Math.min(all.length - genesesKept, removable)));
      assert.equal(new Set(removed).size, removed.length);
      assert.ok(removed.every((name) => !of(name).spared));
      if (all.some(({ spared }) => spared)) return;
      const left = names.filter((name) => !removed.includes(name));
      const has = (who: GenesisUser, among: string[]): number => among.filter((name) => of(name).user === who).length;
      const lost = ['a', 'b', 'c'].some((who) => has(who, removed) > 0 && has(who, left) < genesesPerOrg);
      for (const who of ['a', 'b', 'c']) assert.ok(!lost || has(who, left) <= genesesPerOrg);
    }),
  );
});
