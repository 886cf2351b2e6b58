import fs from 'node:fs/promises';
import os from 'node:os';
import type { HostNetwork, PoolStore, Sprites, VmDriver } from '@sylph/engine';
import type { HostInfo } from '@sylph/model';
import { version } from '../version.ts';
import type { PoolCatalog } from './catalog.ts';

/** What `GET /v1/host` is put together from. */
export interface HostInfoSources {
  driver: VmDriver;
  store: PoolStore;
  network: HostNetwork;
  catalog: PoolCatalog;
  sprites: Sprites;
  pool: { root: string; kind: 'directory' | 'loop' };
  limits: { kind: 'v2' | 'none'; reason: string };
  /** What the last start cleaned up; more may be added while the daemon runs. */
  notices: readonly string[];
}

/** Describes this host now. */
export async function hostInfo(sources: HostInfoSources): Promise<HostInfo> {
  const { driver, store, network, catalog, sprites, pool, limits } = sources;
  const [machine, capacity, net, images, counts, memoryAvailable, defaultImage] = await Promise.all([
    catalog.guest().then((guest) => driver.machine(guest)),
    store.capacity(),
    network.describe(),
    catalog.images(),
    sprites.counts(),
    availableMemory(),
    catalog.image(),
  ]);
  const { guestManifest } = catalog;
  return {
    version,
    accelerator: { kind: machine.accelerator, reason: machine.reason },
    qemu_version: machine.qemuVersion,
    kernel: guestManifest.kernel.release,
    agent: guestManifest.agent.sha256.slice(0, 12),
    cpus: os.availableParallelism(),
    memory_total_bytes: os.totalmem(),
    memory_available_bytes: memoryAvailable,
    pool: { path: pool.root, kind: pool.kind, total_bytes: capacity.totalBytes, free_bytes: capacity.freeBytes },
    cgroups: limits.kind,
    network: net,
    default_image: defaultImage?.name ?? null,
    images: images.map((image) => ({
      name: image.name,
      digest: image.digest,
      created_at: image.createdAt,
      size_bytes: image.sizeBytes,
    })),
    sprites: counts,
    notices: [
      ...sources.notices,
      ...(machine.accelerator === 'tcg'
        ? [`sprites run by software emulation, many times slower than KVM: ${machine.reason}`]
        : []),
      ...(limits.kind === 'none' ? [limits.reason] : []),
    ],
  };
}

/** Memory programs can still get, bytes: the kernel's own estimate. */
async function availableMemory(): Promise<number> {
  const text = await fs.readFile('/proc/meminfo', 'utf8');
  return Number(/^MemAvailable:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024;
}
