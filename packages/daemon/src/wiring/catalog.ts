import fs from 'node:fs/promises';
import path from 'node:path';
import type { Catalog } from '@sylph/engine';
import { guestManifest, listImages, type GuestManifest, type ImageManifest } from '@sylph/images';
import { SylphError } from '@sylph/model';

/** Images tried in this order when nobody names one. */
const defaultImages = ['dev', 'minimal'];

/** Images of the pool, and the guest that set-up built. */
export class PoolCatalog implements Catalog {
  readonly #imagesDir: string;
  readonly #guestsDir: string;
  readonly #guest: GuestManifest;

  private constructor(imagesDir: string, guestsDir: string, guest: GuestManifest) {
    this.#imagesDir = imagesDir;
    this.#guestsDir = guestsDir;
    this.#guest = guest;
  }

  /** Brings the newest guest of `guestSource` into the pool and removes others from it: what has started from them holds files of its own. Call it when no other daemon works there. Throws `host_unfit` when set-up built none. */
  static async open(dirs: { images: string; guests: string; guestSource: string }): Promise<PoolCatalog> {
    const { guestManifest: newest } = await PoolCatalog.peek(dirs.guestSource);
    await importGuest(path.join(dirs.guestSource, newest.digest), path.join(dirs.guests, newest.digest));
    await removeOthers(dirs.guests, newest.digest);
    return new PoolCatalog(dirs.images, dirs.guests, newest);
  }

  /** What set-up built, looked at where it lies: for checks. */
  static async peek(guestSource: string): Promise<PoolCatalog> {
    const newest = (await readGuests(guestSource)).at(0);
    if (!newest)
      throw new SylphError('host_unfit', `there is no guest kernel in ${guestSource}`, { hint: 'Run: npm run setup' });
    return new PoolCatalog('', guestSource, newest);
  }

  get guestManifest(): GuestManifest {
    return this.#guest;
  }

  /** All images, newest first. */
  async images(): Promise<ImageManifest[]> {
    return (await listImages(this.#imagesDir)).map(({ manifest }) => manifest);
  }

  async image(name?: string): Promise<{ name: string; digest: string } | undefined> {
    const images = await this.images();
    for (const wanted of name === undefined ? defaultImages : [name]) {
      const found = images.find((image) => image.name === wanted);
      if (found) return { name: found.name, digest: found.digest };
    }
    return name === undefined && images[0] ? { name: images[0].name, digest: images[0].digest } : undefined;
  }

  guest(): Promise<{ digest: string; kernel: string; initrd: string }> {
    const directory = path.join(this.#guestsDir, this.#guest.digest);
    return Promise.resolve({
      digest: this.#guest.digest,
      kernel: path.join(directory, 'kernel'),
      initrd: path.join(directory, 'initrd'),
    });
  }
}

async function readGuests(directory: string): Promise<GuestManifest[]> {
  // No directory: set-up has not run; the caller says so.
  const names = await fs.readdir(directory).catch(() => []);
  const guests: GuestManifest[] = [];
  for (const name of names.filter(isDigest)) {
    guests.push(guestManifest.parse(JSON.parse(await fs.readFile(path.join(directory, name, 'guest.json'), 'utf8'))));
  }
  return guests.toSorted((a, b) => b.createdAt.localeCompare(a.createdAt));
}

const isDigest = (name: string): boolean => /^[0-9a-f]{16,64}$/.test(name);

/** The rename is the removal; what a daemon that dies leaves of it is swept at the next start. */
async function removeOthers(guests: string, kept: string): Promise<void> {
  for (const name of await fs.readdir(guests)) {
    if (!isDigest(name) || name === kept) continue;
    const doomed = path.join(guests, `rm-${name}`);
    await fs.rename(path.join(guests, name), doomed);
    await fs.rm(doomed, { recursive: true, force: true });
  }
}

/** Copies a guest into the pool, readable for the VMs that get links to it. */
async function importGuest(from: string, to: string): Promise<void> {
  if (await fs.stat(to).catch(() => undefined)) return;
  const building = path.join(path.dirname(to), `new-${path.basename(to)}`);
  await fs.rm(building, { recursive: true, force: true });
  await fs.mkdir(building, { recursive: true, mode: 0o711 });
  for (const file of ['kernel', 'initrd', 'guest.json']) {
    const copy = path.join(building, file);
    await fs.copyFile(path.join(from, file), copy);
    await fs.chmod(copy, 0o444);
    const handle = await fs.open(copy, 'r');
    await handle.sync();
    await handle.close();
  }
  await fs.rename(building, to);
}
