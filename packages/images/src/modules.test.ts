import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SylphError } from '@sylph/model';
import fc from 'fast-check';
import { moduleLoadOrder, moduleName } from './modules.ts';

const dep = [
  'kernel/net/core/failover.ko.xz:',
  'kernel/drivers/net/net_failover.ko.xz: kernel/net/core/failover.ko.xz',
  'kernel/drivers/net/virtio_net.ko.xz: kernel/drivers/net/net_failover.ko.xz kernel/net/core/failover.ko.xz',
  'kernel/drivers/char/hw_random/virtio-rng.ko.xz:',
  '',
].join('\n');

describe('moduleLoadOrder', () => {
  it('puts a module after what it needs', () => {
    assert.deepEqual(moduleLoadOrder(dep, '', ['virtio_net']).map(moduleName), [
      'failover',
      'net_failover',
      'virtio_net',
    ]);
  });

  it('finds a module whose file is spelled with dashes', () => {
    assert.deepEqual(moduleLoadOrder(dep, '', ['virtio_rng']), ['kernel/drivers/char/hw_random/virtio-rng.ko.xz']);
  });

  it('leaves built-in modules out', () => {
    assert.deepEqual(moduleLoadOrder(dep, 'kernel/fs/ext4/ext4.ko\n', ['ext4']), []);
  });

  it('refuses a module the kernel does not have', () => {
    assert.throws(() => moduleLoadOrder(dep, '', ['missing']), SylphError);
  });

  it('refuses modules that need each other', () => {
    assert.throws(() => moduleLoadOrder('a.ko: b.ko\nb.ko: a.ko\n', '', ['a']), /cycle/);
  });

  it('names every needed module once and in order, whatever the graph', () => {
    // Module i needs some of those before it, which no cycle survives.
    const graph = fc
      .integer({ min: 1, max: 12 })
      .chain((count) => fc.tuple(...Array.from({ length: count }, (_, i) => fc.subarray([...Array(i).keys()]))));
    fc.assert(
      fc.property(graph, (needs) => {
        const text = needs.map((list, i) => `k/m${i}.ko: ${list.map((j) => `k/m${j}.ko`).join(' ')}`).join('\n');
        const order = moduleLoadOrder(
          text,
          '',
          needs.map((_, i) => `m${i}`),
        );
        assert.equal(order.length, needs.length);
        for (const [i, list] of needs.entries()) {
          for (const j of list) assert.ok(order.indexOf(`k/m${j}.ko`) < order.indexOf(`k/m${i}.ko`));
        }
      }),
    );
  });
});
