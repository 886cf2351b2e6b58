import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { QemuDriver } from '@sylph/driver-qemu';
import { foreignDrops, namespaceObstacle } from '@sylph/network-namespaces';
import { canReflink } from '@sylph/store-pool';
import type { Config } from '../config.ts';
import { PoolCatalog } from '../wiring/catalog.ts';

const run = promisify(execFile);
const commandTimeoutMs = 10_000;
/** Oldest QEMU that captures a running emulated guest without losing writes. */
const minQemuMajor = 9;
const gib = 2 ** 30;

/** What a check found. `degraded`: sprites run, but not as well as they could. */
export interface Finding {
  status: 'ok' | 'degraded' | 'broken';
  detail: string;
  remedy?: string;
}

/** The checks of `sylphd doctor`, in the order they are shown. */
export const checks: readonly { name: string; check: (config: Config) => Promise<Finding> }[] = [
  { name: 'root', check: root },
  { name: 'QEMU', check: qemu },
  { name: 'guest', check: guest },
  { name: 'accelerator', check: accelerator },
  { name: 'pool', check: pool },
  { name: 'images', check: images },
  { name: 'memory', check: memory },
  { name: 'limits', check: limits },
  { name: 'network', check: network },
];

function root(): Promise<Finding> {
  return Promise.resolve(
    process.getuid?.() === 0
      ? { status: 'ok', detail: 'running as root' }
      : {
          status: 'broken',
          detail: 'not running as root',
          remedy: 'Run it with sudo: VMs get users of their own, and the pool is mounted.',
        },
  );
}

async function qemu(): Promise<Finding> {
  const remedy = 'npm run setup installs it.';
  try {
    const { stdout } = await run('qemu-system-x86_64', ['--version'], { timeout: commandTimeoutMs });
    const version = /version (\S+)/.exec(stdout)?.[1] ?? 'unknown';
    if (Number.parseInt(version, 10) >= minQemuMajor) return { status: 'ok', detail: `version ${version}` };
    return { status: 'broken', detail: `version ${version} is older than ${minQemuMajor}`, remedy };
  } catch {
    return { status: 'broken', detail: 'qemu-system-x86_64 is not installed', remedy };
  }
}

async function guest(config: Config): Promise<Finding> {
  try {
    const catalog = await PoolCatalog.peek(config['guest-dir']);
    return { status: 'ok', detail: `kernel ${catalog.guestManifest.kernel.release}` };
  } catch (error) {
    return { status: 'broken', detail: text(error), remedy: 'Run: npm run setup' };
  }
}

async function accelerator(config: Config): Promise<Finding> {
  try {
    const newest = (await PoolCatalog.peek(config['guest-dir'])).guestManifest;
    await using driver = new QemuDriver({ stateDir: config['data-dir'], accelerator: config.accel });
    const directory = path.join(config['guest-dir'], newest.digest);
    const machine = await driver.machine({
      kernel: path.join(directory, 'kernel'),
      initrd: path.join(directory, 'initrd'),
    });
    if (machine.accelerator === 'kvm') return { status: 'ok', detail: 'KVM' };
    return {
      status: 'degraded',
      detail: `software emulation: ${machine.reason}`,
      remedy: 'Use a host with hardware virtualization; sprites are many times slower without.',
    };
  } catch (error) {
    return { status: 'broken', detail: text(error), remedy: 'See the checks above.' };
  }
}

async function pool(config: Config): Promise<Finding> {
  const dataDir = config['data-dir'];
  try {
    const directory = path.join(dataDir, 'pool');
    await fs.mkdir(directory, { recursive: true, mode: 0o711 });
    const stat = await fs.statfs(directory);
    const free = stat.bavail * stat.bsize;
    const size = `${Math.floor(free / gib)} GiB free in ${dataDir}`;
    if (free < 4 * gib)
      return { status: 'broken', detail: size, remedy: 'Free some space, or give sylphd another --data-dir.' };
    if (await canReflink(directory)) return { status: 'ok', detail: `reflinks work, ${size}` };
    await run('mkfs.xfs', ['-V'], { timeout: commandTimeoutMs });
    await run('losetup', ['--find'], { timeout: commandTimeoutMs });
    return { status: 'ok', detail: `an XFS file mounted on a loop device, ${size}` };
  } catch (error) {
    return {
      status: 'broken',
      detail: text(error),
      remedy: 'Use a data directory on XFS or btrfs, or run as root with loop devices and xfsprogs (npm run setup).',
    };
  }
}

async function images(config: Config): Promise<Finding> {
  const names = await fs.readdir(path.join(config['data-dir'], 'pool/images')).catch(() => []);
  const count = names.filter((name) => /^[0-9a-f]{64}$/.test(name)).length;
  if (count > 0) return { status: 'ok', detail: `${count} in the pool` };
  return {
    status: 'degraded',
    detail: 'none in the pool, or the pool is not mounted now',
    remedy: 'sylphd image build minimal',
  };
}

function memory(): Promise<Finding> {
  const total = os.totalmem() / gib;
  const detail = `${total.toFixed(1)} GiB`;
  return Promise.resolve(
    total >= 3
      ? { status: 'ok', detail }
      : { status: 'degraded', detail, remedy: 'Create sprites with a smaller ram_mb.' },
  );
}

async function limits(config: Config): Promise<Finding> {
  await using driver = new QemuDriver({ stateDir: config['data-dir'] });
  const { kind, reason } = driver.limits;
  return kind === 'v2'
    ? { status: 'ok', detail: reason }
    : {
        status: 'degraded',
        detail: reason,
        remedy: 'Boot the host with cgroup v2 and run sylphd under its systemd unit.',
      };
}

async function network(config: Config): Promise<Finding> {
  if (config.network === 'none') return { status: 'degraded', detail: 'sprites have no network: switched off' };
  const lacking = config.network === 'user' ? 'user mode was asked for' : await namespaceObstacle();
  if (lacking === undefined) {
    const drops = await foreignDrops();
    if (drops.length === 0)
      return {
        status: 'ok',
        detail: 'network namespaces: sprites reach the internet and nothing private; policies work',
      };
    return {
      status: 'degraded',
      detail: `sprites may not reach the internet: ${drops.join(', ')} drops what it does not know`,
      remedy: 'Let it accept what comes from interfaces sylph*, and what belongs to that.',
    };
  }
  try {
    await run('nft', ['list', 'tables'], { timeout: commandTimeoutMs });
    return {
      status: config.network === 'namespaces' ? 'broken' : 'degraded',
      detail: `user-mode networking, which knows no policies: ${lacking}`,
      remedy: 'Run as root, with iproute2 and nftables (npm run setup) and /dev/net/tun.',
    };
  } catch (error) {
    return {
      status: 'degraded',
      detail: `sprites have no network: ${text(error)}`,
      remedy: 'Install nftables (npm run setup) and run as root.',
    };
  }
}

function text(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
}
