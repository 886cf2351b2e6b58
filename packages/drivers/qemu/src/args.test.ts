import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guestMac, type VmSpec } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import { qemuArgs } from './args.ts';

const spec: Pick<VmSpec, 'shape' | 'network' | 'machine' | 'memory'> = {
  shape: { cpus: 2, ramMib: 1024, storageGb: 20 },
  network: {
    kind: 'user',
    restricted: false,
    mac: '52:54:00:12:34:56',
    subnet: '10.0.0.0/24',
    guestAddress: '10.0.0.1',
    gateway: '10.0.0.2',
    dns: '10.0.0.3',
  },
  machine: { driver: 'qemu', accelerator: 'tcg', qemuVersion: '10.0.2', machine: 'microvm/1', cpuModel: 'max' },
};
const memory = { devPath: '/pool/rest/dev', format: 'devices' } as const;
const valueOf = (args: string[], option: string): string | undefined => args[args.indexOf(option) + 1];
const tap = { kind: 'tap', namespace: '/run/netns/sylph0-1', device: 'spr-tap', mac: guestMac } as const;
const user = spec.network as Extract<VmSpec['network'], { kind: 'user' }>;

test('a boot gets kernel, initrd and the rate of its counter; a start from memory gets neither', () => {
  const boot = qemuArgs(spec, { tscKhz: 2_250_000 });
  assert.equal(valueOf(boot, '-kernel'), 'kernel');
  assert.match(valueOf(boot, '-append') ?? '', / tsc_early_khz=2250000 tsc=reliable$/);
  assert.ok(!boot.includes('-incoming'));
  const restored = qemuArgs({ ...spec, memory }, undefined);
  assert.ok(!restored.includes('-kernel') && !restored.includes('-append'));
  assert.equal(valueOf(restored, '-incoming'), 'fd:3');
});

test('device state comes after the descriptor of /dev/kvm', () => {
  const args = qemuArgs({ ...spec, machine: { ...spec.machine, accelerator: 'kvm' }, memory }, undefined);
  assert.equal(valueOf(args, '-add-fd'), 'fd=3,set=1,opaque=kvm');
  assert.equal(valueOf(args, '-accel'), 'kvm,device=/dev/fdset/1');
  assert.equal(valueOf(args, '-incoming'), 'fd:4');
});

test('devices are the same for every kind of network', () => {
  const devices = (network: VmSpec['network']): string[] => {
    const args = qemuArgs({ ...spec, network }, undefined);
    return args.filter((_, index) => args[index - 1] === '-device').map((device) => device.split(',')[0] ?? '');
  };
  assert.deepEqual(devices({ kind: 'none', mac: guestMac }), devices(spec.network));
  assert.deepEqual(devices(tap), devices(spec.network));
});

test('a slot has a stack of user mode without a card, so that memory of either kind loads in the other', () => {
  const backends = (network: VmSpec['network']): (string | undefined)[] => {
    const args = qemuArgs({ ...spec, network }, undefined);
    return args.filter((_, index) => args[index - 1] === '-netdev').map((backend) => backend.split(',')[0]);
  };
  assert.deepEqual(backends(tap), ['user', 'tap']);
  assert.deepEqual(backends(user), ['user']);
});

test('the sandbox denies everything it can', () => {
  assert.equal(
    valueOf(qemuArgs(spec, undefined), '-sandbox'),
    'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
  );
});

test('paths are relative, so none can be too long or escape', () => {
  for (const argument of qemuArgs(spec, { tscKhz: undefined })) assert.ok(!/(^|=|:)\//.test(argument), argument);
});

test('what fits no grammar never becomes an option', () => {
  const bad: VmSpec['network'][] = [
    { ...user, mac: '52:54:00:12:34:56,bootindex=1' },
    { ...user, mac: '' },
    { ...user, subnet: '10.0.0.0/24,hostfwd=tcp::22-:22' },
    { ...user, subnet: '10.0.0.0' },
    { ...user, subnet: '10.0.0.0/33' },
    { ...user, guestAddress: '10.0.0.1,tftp=/' },
    { ...user, gateway: 'host' },
    { ...user, dns: '::1' },
    { ...user, dns: user.gateway },
    { ...tap, device: 'spr-tap,script=/tmp/x' },
    { ...tap, mac: 'spr' },
  ];
  for (const network of bad)
    assert.throws(() => qemuArgs({ ...spec, network }, undefined), SylphError, JSON.stringify(network));
  for (const cpus of [0, -1, 1.5, Number.NaN])
    assert.throws(() => qemuArgs({ ...spec, shape: { ...spec.shape, cpus } }, undefined), SylphError);
  assert.throws(() => qemuArgs({ ...spec, shape: { ...spec.shape, ramMib: 2 ** 60 } }, undefined), SylphError);
  assert.throws(() => qemuArgs(spec, { tscKhz: Number.POSITIVE_INFINITY }), SylphError);
});
