import { GuestFileError, type FileTarget, type GuestFiles } from '../interfaces/guest-files.ts';

/** Files of a machine's guest, by path: they can be read and written whole, nothing more. */
export function nullFiles(files: Map<string, { text: string; mode: string | undefined; user: string }>): GuestFiles {
  const known: Pick<GuestFiles, 'read' | 'write'> = {
    read: async ({ path }: FileTarget) => {
      const file = files.get(path);
      if (!file) throw new GuestFileError({ status: 404, errno: 'ENOENT', path, message: 'no such file' });
      const bytes = Buffer.from(file.text);
      return {
        sizeBytes: bytes.length,
        mode: file.mode ?? '0644',
        mtimeMs: 0,
        offset: 0,
        lengthBytes: bytes.length,
        bytes: (async function* () {
          yield bytes;
        })(),
      };
    },
    write: async ({ path, user }, body, { mode }) => {
      const text = Buffer.concat(await Array.fromAsync(body)).toString();
      files.set(path, { text, mode, user });
      return { path, sizeBytes: Buffer.byteLength(text), mode: mode ?? '0644' };
    },
  };
  return known as GuestFiles;
}
