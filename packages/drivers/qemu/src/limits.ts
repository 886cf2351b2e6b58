import fs from 'node:fs';
import path from 'node:path';
import type { VmShape } from '@sylph/model';

/** Where cgroup v2 is mounted on a host that has nothing else, and on one that has both. */
const mountPoints = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'];
const controllers = ['cpu', 'memory', 'pids'] as const;

/** Group below our own that holds us. */
const leafName = 'sylphd';
/** Memory QEMU needs beside the guest's RAM, MiB: its heap, its threads' stacks, the code cache of an emulated CPU, page tables. */
const overheadMib = 256;
/** Threads of a VM: its CPUs, the I/O pool (64 at most) and a few of QEMU's own. */
const extraThreads = 96;
const cpuPeriodUs = 100_000;

/** Limits of VMs by cgroup v2. */
export interface VmLimits {
  /** Whether limits are enforced, and if not why not. */
  readonly kind: 'v2' | 'none';
  readonly reason: string;
  /** Puts a process into a group of its own. `name` is one path component. */
  apply(pid: number, name: string, shape: Pick<VmShape, 'cpus' | 'ramMib'>): void;
  /** Removes the group once its processes are gone. Idempotent. */
  remove(name: string): void;
}

/** Limits in a subtree `sylph` below our own cgroup. Without a writable v2 hierarchy that has the controllers nothing is enforced, and `reason` says why. */
export function openLimits(options: { mounts?: readonly string[]; selfCgroup?: string } = {}): VmLimits {
  try {
    const found = findHierarchy(
      options.mounts ?? mountPoints,
      options.selfCgroup ?? fs.readFileSync('/proc/self/cgroup', 'utf8'),
    );
    if (typeof found === 'string') return none(found);
    const root = path.join(found.own, 'sylph');
    prepare(found.own, root);
    return new CgroupLimits(root);
  } catch (error) {
    return none(`cgroup v2 cannot be used: ${(error as Error).message}`);
  }
}

function none(reason: string): VmLimits {
  return { kind: 'none', reason, apply: () => {}, remove: () => {} };
}

function findHierarchy(mounts: readonly string[], selfCgroup: string): { own: string } | string {
  const mount = mounts.find((candidate) => fs.existsSync(path.join(candidate, 'cgroup.controllers')));
  if (mount === undefined) return 'no cgroup v2 hierarchy is mounted';
  const relative = /^0::(\/.*)$/m.exec(selfCgroup)?.[1];
  if (relative === undefined) return 'this process is in no cgroup v2 group';
  // A second look of the same process finds it in the leaf it moved to.
  const own = path.join(mount, path.basename(relative) === leafName ? path.dirname(relative) : relative);
  const available = fs.readFileSync(path.join(own, 'cgroup.controllers'), 'utf8').trim().split(/\s+/);
  const missing = controllers.filter((name) => !available.includes(name));
  return missing.length === 0
    ? { own }
    : `cgroup v2 has no controller ${missing.join(', ')} here (cgroup v1 may hold it)`;
}

/**
 * A group with processes cannot hand controllers to its children (the "no internal processes" rule), so we move into a leaf first. Only we do: when we share the group with
 * others (a login session), it is not ours to arrange, and limits need a service with a group of its own.
 */
function prepare(own: string, root: string): void {
  const enable = controllers.map((name) => `+${name}`).join(' ');
  const leaf = path.join(own, leafName);
  fs.mkdirSync(root, { recursive: true });
  fs.mkdirSync(leaf, { recursive: true });
  fs.writeFileSync(path.join(leaf, 'cgroup.procs'), String(process.pid));
  try {
    fs.writeFileSync(path.join(own, 'cgroup.subtree_control'), enable);
  } catch (cause) {
    fs.writeFileSync(path.join(own, 'cgroup.procs'), String(process.pid));
    throw new Error('the group is shared with other processes; run as a service with Delegate=yes', { cause });
  }
  fs.writeFileSync(path.join(root, 'cgroup.subtree_control'), enable);
}

class CgroupLimits implements VmLimits {
  readonly kind = 'v2';
  readonly reason = 'cgroup v2';
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  apply(pid: number, name: string, shape: Pick<VmShape, 'cpus' | 'ramMib'>): void {
    const group = path.join(this.#root, name);
    fs.mkdirSync(group, { recursive: true });
    const set = (file: string, value: string): void => fs.writeFileSync(path.join(group, file), value);
    // One CPU more than the guest has: its devices and a capture are served beside it.
    set('cpu.max', `${(shape.cpus + 1) * cpuPeriodUs} ${cpuPeriodUs}`);
    set('cpu.weight', '100');
    set('memory.max', String((shape.ramMib + overheadMib) * 2 ** 20));
    set('pids.max', String(shape.cpus + extraThreads));
    set('cgroup.procs', String(pid));
  }

  remove(name: string): void {
    try {
      fs.rmdirSync(path.join(this.#root, name));
    } catch {
      // Gone already, or a process of it is still being reaped by the kernel: an empty group costs nothing and the next VM of that name takes it over.
    }
  }
}
