import * as z from 'zod';
import { digest, sessionId } from './ids.ts';

/** What a VM is made of; part of the key of its genesis and of every snapshot. */
export const vmShape = z.strictObject({
  cpus: z.int().min(1).max(64),
  ramMib: z.int().min(128),
  storageGb: z.int().min(1),
});
export type VmShape = z.output<typeof vmShape>;

/** What a memory snapshot needs to run again: the state is only valid for the same machine. */
export const machineIdentity = z.strictObject({
  driver: z.string(),
  accelerator: z.enum(['kvm', 'tcg']),
  qemuVersion: z.string(),
  machine: z.string(),
  cpuModel: z.string(),
});
export type MachineIdentity = z.output<typeof machineIdentity>;

/** `snapshot.json`, version 1. */
export const snapshotManifest = z.strictObject({
  version: z.literal(1),
  /** `memory`: disk, RAM and devices of one instant; `disk`: only a disk, as a power cut leaves it. */
  kind: z.enum(['memory', 'disk']),
  shape: vmShape,
  /** Image the disk descends from. */
  image: z.strictObject({ name: z.string(), digest }),
  /** Kernel and agent: directory in guests/ they came from, agent protocol they speak. */
  guest: z.strictObject({ digest, protocol: z.literal(1) }),
  /** Sprite whose name, machine-id and host keys are inside; null for a genesis. */
  identity: z.string().nullable(),
  /** Machine the memory belongs to; absent in a disk snapshot. */
  machine: machineIdentity.optional(),
  /** How devices were saved: `devices` without configuration section (stopped capture), `stream` with one (live capture). */
  deviceFormat: z.enum(['devices', 'stream']).optional(),
  /** Sizes in bytes at capture; a file of another size is damaged. */
  sizes: z.strictObject({ disk: z.int(), ram: z.int().optional(), dev: z.int().optional() }),
  /** SHA-256 of `dev`, hex. RAM and disk are too large to hash at every wake; device state decides whether a VM can start at all. */
  devSha256: z.string().optional(),
  /** Bytes of RAM that differ from the origin's. */
  changedRamBytes: z.int().optional(),
  /** Sessions alive in the memory: their journals as far as they belong to this instant. */
  sessions: z.array(z.strictObject({ id: sessionId, endOffset: z.int() })),
  /** ISO 8601. */
  createdAt: z.iso.datetime(),
});
export type SnapshotManifest = z.output<typeof snapshotManifest>;
