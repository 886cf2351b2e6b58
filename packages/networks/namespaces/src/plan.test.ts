import assert from 'node:assert/strict';
import { BlockList } from 'node:net';
import { test } from 'node:test';
import { instanceOf, rangeLayout, slotNumber, slotOf } from './plan.ts';

const inside = (network: string, address: string): boolean => {
  const [base = '', bits = ''] = network.split('/');
  const list = new BlockList();
  list.addSubnet(base, Number(bits), address.includes(':') ? 'ipv6' : 'ipv4');
  return list.check(address, address.includes(':') ? 'ipv6' : 'ipv4');
};

test('every daemon of a host has a block of its own in the range, and every slot addresses of its own in the block', () => {
  for (const range of ['198.18.0.0/15', '10.77.0.0/16', '172.16.5.0/24', '192.168.1.64/26']) {
    const seen = new Set<string>();
    const { instances } = rangeLayout(range);
    assert.ok(instances >= 1 && instances <= 16);
    for (let number = 0; number < instances; number++) {
      const instance = instanceOf(range, number);
      assert.ok(instance.slots >= 32, range);
      const addresses = [instance.forwarder4, instance.forwarder6];
      for (const index of [0, 1, instance.slots - 1]) {
        const slot = slotOf(instance, index);
        assert.ok(slot.name.length <= 15, slot.name);
        assert.equal(slotNumber(instance, slot.name), index);
        assert.ok(inside(instance.block4, slot.address4), slot.address4);
        assert.ok(inside(instance.block6, slot.address6), slot.address6);
        addresses.push(slot.address4, slot.address6, slot.hostMac, slot.uplinkMac);
      }
      for (const address of addresses) {
        assert.ok(!seen.has(address), address);
        seen.add(address);
        if (address.includes('.')) assert.ok(inside(range, address), address);
      }
    }
  }
});

test('addresses are written as the system writes them, for they are compared as text', () => {
  for (const [number, index] of [
    [0, 0],
    [15, 7_999],
    [9, 240],
  ] as const) {
    const { address6 } = slotOf(instanceOf('198.18.0.0/15', number), index);
    assert.equal(new URL(`http://[${address6}]`).hostname, `[${address6}]`);
  }
});

test('a range that holds no slots worth the name is refused', () => {
  for (const range of ['10.0.0.0/27', '0.0.0.0/0'])
    assert.throws(() => rangeLayout(range), { code: 'invalid_request' });
});

test('names of others are not taken for slots', () => {
  const instance = instanceOf('198.18.0.0/15', 1);
  for (const name of [
    'sylph1',
    'sylph1-',
    'sylph1-01',
    'sylph11-1',
    'sylph-1',
    'xsylph1-1',
    'sylph1-1x',
    'sylph1-100000',
  ])
    assert.equal(slotNumber(instance, name), undefined, name);
});
