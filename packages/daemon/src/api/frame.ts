/** Opcode of a binary message in one frame, with the FIN bit (RFC 6455, section 5.2). */
const finalBinary = 0x82;

/**
 * Header of a server's unfragmented binary message (RFC 6455, section 5.2), with the message's first byte behind it where the message has one that is not part of `payloadBytes`.
 * The payload itself need not be copied.
 */
export function binaryHeader(payloadBytes: number, firstByte?: number): Buffer {
  const sizeBytes = payloadBytes + (firstByte === undefined ? 0 : 1);
  const lengthBytes = sizeBytes < 126 ? 0 : sizeBytes < 65_536 ? 2 : 8;
  const header = Buffer.allocUnsafe(2 + lengthBytes + (firstByte === undefined ? 0 : 1));
  header[0] = finalBinary;
  header[1] = lengthBytes === 0 ? sizeBytes : lengthBytes === 2 ? 126 : 127;
  if (lengthBytes === 2) header.writeUInt16BE(sizeBytes, 2);
  if (lengthBytes === 8) header.writeBigUInt64BE(BigInt(sizeBytes), 2);
  if (firstByte !== undefined) header[2 + lengthBytes] = firstByte;
  return header;
}
