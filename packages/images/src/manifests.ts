import { digest, imageName } from '@sylph/model';
import * as z from 'zod';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const file = z.strictObject({ sizeBytes: z.int().min(1), sha256 });

/** `guest.json`, version 1: the kernel and initrd a sprite boots. The directory is named after `digest`. */
export const guestManifest = z.strictObject({
  version: z.literal(1),
  /** SHA-256 over the hashes of kernel and initrd. */
  digest,
  /** Hash of what it was made from: kernel files, agent, builder. The same inputs give the same files. */
  inputs: sha256,
  suite: z.string(),
  /** Wire version the agent in the initrd speaks. */
  protocol: z.literal(1),
  kernel: file.extend({ release: z.string() }),
  initrd: file,
  agent: file,
  /** Modules loaded at boot, in order, relative to /modules of the initrd. */
  bootModules: z.array(z.string()),
  /** ISO 8601. */
  createdAt: z.iso.datetime(),
});
/** See {@link guestManifest}. */
export type GuestManifest = z.output<typeof guestManifest>;

/** `image.json`, version 1: a root disk. The directory is named after `digest`. */
export const imageManifest = z.strictObject({
  version: z.literal(1),
  name: imageName,
  /** Content hash of the disk: see `contentDigest` in disk.ts. */
  digest: sha256,
  description: z.string(),
  suite: z.string(),
  /** Hash of the spec it was built from. */
  specDigest: sha256,
  /** The spec itself, as TOML. */
  spec: z.string(),
  /** Account that commands run as unless told otherwise. */
  user: z.strictObject({ name: z.string(), uid: z.int(), home: z.string(), shell: z.string() }),
  /** Length of rootfs.img, most of it holes. */
  diskBytes: z.int().min(1),
  /** Bytes of rootfs.img that are stored. */
  sizeBytes: z.int().min(0),
  /** Debian packages, name to version. */
  packages: z.record(z.string(), z.string()),
  /** Globally installed npm packages, name to version. */
  npm: z.record(z.string(), z.string()),
  /** ISO 8601. */
  createdAt: z.iso.datetime(),
});
/** See {@link imageManifest}. */
export type ImageManifest = z.output<typeof imageManifest>;
