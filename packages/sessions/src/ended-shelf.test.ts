import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EndedShelf } from './ended-shelf.ts';

const minuteMs = 60_000;
const fake = (id: string) => ({ id, inUse: false });

test('64 ended sessions stay for ten minutes; the oldest leave first; those in use stay', () => {
  const removed: string[] = [];
  const shelf = new EndedShelf<{ id: string; inUse: boolean }>((session) => removed.push(session.id));
  shelf.add(fake('old'), 11 * minuteMs);
  assert.deepEqual(removed, ['old']);
  const watched = { ...fake('watched'), inUse: true };
  shelf.add(watched, 30 * minuteMs);
  for (let i = 0; i < 63; i += 1) shelf.add(fake(`s${i}`), minuteMs);
  assert.deepEqual(removed, ['old']);
  shelf.add(fake('one more'), minuteMs);
  assert.deepEqual(removed, ['old', 's0']);
  assert.equal(shelf.get('s0'), undefined);
  assert.equal(shelf.get('s1')?.id, 's1');
  watched.inUse = false;
  shelf.sweep();
  assert.deepEqual(removed, ['old', 's0', 'watched']);
  assert.equal(shelf.clear().length, 63);
});

test('a crowd that ended just now stays long enough to be attached to', () => {
  const removed: string[] = [];
  const shelf = new EndedShelf<{ id: string; inUse: boolean }>((session) => removed.push(session.id));
  for (let i = 0; i < 500; i += 1) shelf.add(fake(`s${i}`));
  assert.deepEqual(removed, []);
  for (let i = 500; i < 3000; i += 1) shelf.add(fake(`s${i}`));
  assert.equal(removed.length, 3000 - 2048);
  shelf.clear();
});
