/** A file of an archive in cpio's "newc" format, which the kernel unpacks as initramfs (https://docs.kernel.org/driver-api/early-userspace/buffer-format.html). */
export interface CpioFile {
  path: string;
  mode: number;
  /** Major and minor of a device file. */
  device?: [number, number];
  data: Buffer;
}

const headerBytes = 110;
const trailer = 'TRAILER!!!';

/** Reads an archive that is not compressed. */
export function* readCpio(archive: Buffer): Generator<CpioFile> {
  for (let at = 0; at + headerBytes <= archive.length;) {
    if (archive.toString('latin1', at, at + 6) !== '070701') throw new Error(`no cpio entry at byte ${at}`);
    const field = (index: number): number =>
      Number.parseInt(archive.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16);
    const [mode, size, nameBytes] = [field(1), field(6), field(11)];
    const path = archive.toString('utf8', at + headerBytes, at + headerBytes + nameBytes - 1);
    if (path === trailer) return;
    const data = at + aligned(headerBytes + nameBytes);
    yield { path, mode, device: [field(9), field(10)], data: archive.subarray(data, data + size) };
    at = data + aligned(size);
  }
}

/** Writes an archive; a directory has to come before what it holds. */
export function writeCpio(files: readonly CpioFile[]): Buffer {
  return Buffer.concat(
    [...files, { path: trailer, mode: 0, data: Buffer.alloc(0) }].flatMap((file, index) => writeEntry(file, index + 1)),
  );
}

function writeEntry({ path, mode, device = [0, 0], data }: CpioFile, inode: number): Buffer[] {
  const name = Buffer.from(`${path}\0`);
  // inode, mode, uid, gid, links, time, size, device of the file (2), device it stands for (2), name length, checksum
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, ...device, name.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  return [padded(Buffer.concat([Buffer.from(header), name])), padded(data)];
}

function aligned(length: number): number {
  return (length + 3) & ~3;
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(aligned(bytes.length) - bytes.length)]);
}
