import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseEndpoint } from './endpoint.ts';

test('tells paths of sprites from those of this machine', () => {
  assert.deepEqual(parseEndpoint('box:/etc/hosts'), { sprite: 'box', path: '/etc/hosts' });
  assert.deepEqual(parseEndpoint(':a:b\n'), { sprite: '', path: 'a:b\n' });
  assert.deepEqual(parseEndpoint('box:'), { sprite: 'box', path: '.' });
  assert.deepEqual(parseEndpoint('./box:x'), { sprite: undefined, path: './box:x' });
  assert.deepEqual(parseEndpoint('plain'), { sprite: undefined, path: 'plain' });
  assert.throws(() => parseEndpoint(''), /empty/);
});
