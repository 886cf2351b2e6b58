import os from 'node:os';
import { SylphError, type VmShape } from '@sylph/model';

/** Sizes of a sprite that says nothing. */
export const defaultShape: VmShape = { cpus: 2, ramMib: 2048, storageGb: 20 };

/** What of the public `config` makes a shape; refuses what this host cannot give. */
export function shapeFrom(
  config: { cpus?: number | undefined; ram_mb?: number | undefined; storage_gb?: number | undefined },
  poolBytes: number,
): VmShape {
  const shape: VmShape = {
    cpus: config.cpus ?? defaultShape.cpus,
    ramMib: config.ram_mb ?? defaultShape.ramMib,
    storageGb: config.storage_gb ?? defaultShape.storageGb,
  };
  const cpus = Math.max(os.availableParallelism(), defaultShape.cpus);
  const ramMib = Math.floor(os.totalmem() / 2 ** 20);
  const storageGb = Math.floor(poolBytes / 2 ** 30);
  refuseOver('cpus', shape.cpus, cpus, 'processors');
  refuseOver('ram_mb', shape.ramMib, ramMib, 'MiB of memory');
  // A disk is sparse: the default one may be larger than a small pool, but nobody may ask for more than there is.
  if (config.storage_gb !== undefined) refuseOver('storage_gb', shape.storageGb, storageGb, 'GiB in its pool');
  return shape;
}

function refuseOver(field: string, wanted: number, most: number, what: string): void {
  if (wanted <= most) return;
  throw new SylphError('invalid_size', `config.${field} is ${wanted}, but this host has ${most} ${what}`, {
    hint: `Ask for at most ${most}.`,
  });
}
