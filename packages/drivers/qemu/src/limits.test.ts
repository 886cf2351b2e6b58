import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { openLimits } from './limits.ts';

/** A directory that looks like a cgroup v2 hierarchy with one group; the kernel's own behaviour it has not. */
function fakeHierarchy(context: TestContext, controllers: string): { mount: string; group: string } {
  const mount = fs.mkdtempSync(path.join(os.tmpdir(), 'sylph-cgroup-'));
  context.after(() => fs.rmSync(mount, { recursive: true }));
  const group = path.join(mount, 'system.slice/sylphd.service');
  fs.mkdirSync(group, { recursive: true });
  fs.writeFileSync(path.join(mount, 'cgroup.controllers'), controllers);
  fs.writeFileSync(path.join(group, 'cgroup.controllers'), controllers);
  return { mount, group };
}

test('a VM gets a group of its own with limits after its shape', (context) => {
  const { mount, group } = fakeHierarchy(context, 'cpuset cpu io memory pids\n');
  const limits = openLimits({ mounts: [mount], selfCgroup: '0::/system.slice/sylphd.service\n' });
  assert.equal(limits.kind, 'v2');
  limits.apply(4711, 'sprite-1', { cpus: 2, ramMib: 1024 });
  const read = (file: string): string => fs.readFileSync(path.join(group, 'sylph/sprite-1', file), 'utf8');
  assert.equal(read('cpu.max'), '300000 100000');
  assert.equal(read('memory.max'), String(1280 * 2 ** 20));
  assert.equal(read('pids.max'), '98');
  assert.equal(read('cgroup.procs'), '4711');
  assert.equal(fs.readFileSync(path.join(group, 'sylph/cgroup.subtree_control'), 'utf8'), '+cpu +memory +pids');
});

test('where limits cannot be had the reason is told and nothing fails', (context) => {
  const { mount } = fakeHierarchy(context, 'cpuset pids\n');
  const cases = [
    [openLimits({ mounts: [mount], selfCgroup: '0::/system.slice/sylphd.service\n' }), /no controller cpu, memory/],
    [openLimits({ mounts: [mount], selfCgroup: '4:memory:/x\n' }), /in no cgroup v2 group/],
    [openLimits({ mounts: [mount], selfCgroup: '0::/elsewhere\n' }), /cannot be used: ENOENT/],
    [openLimits({ mounts: ['/nonexistent'], selfCgroup: '' }), /no cgroup v2 hierarchy/],
  ] as const;
  for (const [limits, reason] of cases) {
    assert.equal(limits.kind, 'none');
    assert.match(limits.reason, reason);
    limits.apply(4711, 'sprite-1', { cpus: 2, ramMib: 1024 });
    limits.remove('sprite-1');
  }
});

test('this host gives an answer', () => {
  const limits = openLimits();
  assert.ok(limits.kind === 'v2' || limits.reason !== '');
});
