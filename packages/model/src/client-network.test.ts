import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientNetwork } from './client-network.ts';

test('a client counts as its IPv4 address, or as the first 64 bits of IPv6', () => {
  assert.equal(clientNetwork('192.0.2.7'), '192.0.2.7');
  assert.equal(clientNetwork('::ffff:192.0.2.7'), '192.0.2.7');
  assert.equal(clientNetwork('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2');
  assert.equal(clientNetwork('2001:db8:1:2::9'), '2001:db8:1:2');
  assert.equal(clientNetwork('2001:db8::9'), '2001:db8:0:0');
  assert.equal(clientNetwork('::1'), '0:0:0:0');
  assert.equal(clientNetwork('fe80::1%eth0'), 'fe80:0:0:0');
});
