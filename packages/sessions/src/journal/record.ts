import { crc32 } from 'node:zlib';

/**
 * A record of a journal segment: a header, then the output bytes it tells of.
 *
 *   check u32 | stream u8 | length u24 | time u48 | offset u48 | length bytes          (big endian)
 *
 * `check` is the CRC-32 of the 16 header bytes behind it, so that zeros, rubbish and a header cut in two are told from records. Payloads need no check of their own:
 * a daemon that is killed leaves a prefix of what it wrote, and a host that loses power loses the VM too.
 */
export interface RecordHeader {
  stream: OutputStream;
  /** Payload bytes. */
  length: number;
  /** When its first byte arrived, Unix ms. */
  timeMs: number;
  /** Output offset of its first byte. */
  offset: number;
}

/** Which of a process's outputs; a terminal's is stdout. */
export type OutputStream = 'stdout' | 'stderr';

/** Length of the header below, bytes. */
export const recordHeaderBytes = 20;

/** Longest payload the writer puts in one record: a reader's block holds several. */
export const maxRecordBytes = 128 * 1024;

/** Encodes a header. */
export function encodeHeader(header: RecordHeader): Buffer {
  const buffer = Buffer.allocUnsafe(recordHeaderBytes);
  buffer.writeUInt32BE((header.stream === 'stdout' ? 1 : 2) * 0x1000000 + header.length, 4);
  buffer.writeUIntBE(header.timeMs, 8, 6);
  buffer.writeUIntBE(header.offset, 14, 6);
  buffer.writeUInt32BE(crc32(buffer.subarray(4)), 0);
  return buffer;
}

/** Decodes the header at `at`; undefined when there is none or not all of it. Its payload may still be cut. */
export function decodeHeader(buffer: Buffer, at: number): RecordHeader | undefined {
  if (buffer.length - at < recordHeaderBytes) return undefined;
  if (crc32(buffer.subarray(at + 4, at + recordHeaderBytes)) !== buffer.readUInt32BE(at)) return undefined;
  const stream = buffer[at + 4];
  const length = buffer.readUIntBE(at + 5, 3);
  if ((stream !== 1 && stream !== 2) || length === 0 || length > maxRecordBytes) return undefined;
  return {
    stream: stream === 1 ? 'stdout' : 'stderr',
    length,
    timeMs: buffer.readUIntBE(at + 8, 6),
    offset: buffer.readUIntBE(at + 14, 6),
  };
}
