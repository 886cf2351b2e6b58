/**
 * Writes cpio archives in the "newc" format, which the kernel unpacks as initramfs
 * (https://docs.kernel.org/driver-api/early-userspace/buffer-format.html). The same entries give the same bytes: owner 0, time 0.
 *
 *   entry: "070701" + 13 fields of 8 hex digits | name NUL, padded to 4 | data, padded to 4        last entry: TRAILER!!!
 */

/** One file, directory, symbolic link or device of an archive. */
export type CpioEntry =
  | { kind: 'file'; path: string; mode: number; data: Buffer }
  | { kind: 'directory'; path: string; mode: number }
  | { kind: 'link'; path: string; target: string }
  | { kind: 'char'; path: string; mode: number; major: number; minor: number };

const typeBits = { file: 0o100000, directory: 0o040000, link: 0o120000, char: 0o020000 } as const;
const alignment = 4;

/** The archive, piece by piece. Paths are relative; a directory has to come before what it holds. */
export function* writeCpio(entries: Iterable<CpioEntry>): Generator<Buffer> {
  let inode = 1;
  for (const entry of entries) yield* writeEntry(entry, inode++);
  yield* writeEntry({ kind: 'file', path: 'TRAILER!!!', mode: 0, data: Buffer.alloc(0) }, 0);
}

function* writeEntry(entry: CpioEntry, inode: number): Generator<Buffer> {
  const data = entry.kind === 'file' ? entry.data : entry.kind === 'link' ? Buffer.from(entry.target) : Buffer.alloc(0);
  const name = Buffer.from(`${entry.path}\0`);
  const mode = entry.path === 'TRAILER!!!' ? 0 : typeBits[entry.kind] | (entry.kind === 'link' ? 0o777 : entry.mode);
  const [major, minor] = entry.kind === 'char' ? [entry.major, entry.minor] : [0, 0];
  const links = entry.kind === 'directory' ? 2 : 1;
  // Order: inode, mode, uid, gid, links, time, size, device of the file (2), device it stands for (2), name length, checksum.
  const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, major, minor, name.length, 0];
  const header = Buffer.from(
    `070701${fields.map((field) => field.toString(16).toUpperCase().padStart(8, '0')).join('')}`,
  );
  yield padded(Buffer.concat([header, name]));
  if (data.length > 0) yield padded(data);
}

function padded(bytes: Buffer): Buffer {
  const rest = bytes.length % alignment;
  return rest === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(alignment - rest)]);
}
