import path from 'node:path';

/** Paths of the pool. `root` is the reflink file system's directory. */
export class Layout {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  get images(): string {
    return path.join(this.root, 'images');
  }
  get guests(): string {
    return path.join(this.root, 'guests');
  }
  get genesis(): string {
    return path.join(this.root, 'genesis');
  }
  get sprites(): string {
    return path.join(this.root, 'sprites');
  }
  get checkpoints(): string {
    return path.join(this.root, 'checkpoints');
  }
  /** Snapshots of forks in progress and working directories of genesis boots. */
  get transient(): string {
    return path.join(this.root, 'transient');
  }
  sprite(id: string): string {
    return path.join(this.sprites, id);
  }
  rest(id: string): string {
    return path.join(this.sprite(id), 'rest');
  }
  sessions(id: string): string {
    return path.join(this.sprite(id), 'sessions');
  }
  checkpointsOf(id: string): string {
    return path.join(this.checkpoints, id);
  }
  checkpoint(id: string, checkpoint: string): string {
    return path.join(this.checkpointsOf(id), checkpoint);
  }
  image(digest: string): string {
    return path.join(this.images, digest, 'rootfs.img');
  }
  guest(digest: string): string {
    return path.join(this.guests, digest);
  }
  /** Directories that hold `new-*` and `rm-*` besides those of single sprites. */
  get shelves(): string[] {
    return [this.images, this.guests, this.genesis, this.sprites, this.checkpoints, this.transient];
  }
}
