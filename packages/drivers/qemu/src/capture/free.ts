/**
 * Gives memory back at once that nobody uses any more: the collector sees the small objects in front of buffers rather than their size, and would let some hundred megabytes of a stream's pieces pile up.
 * `bytes` is empty afterwards. A part of a larger buffer is left alone.
 */
export function freeNow(bytes: Buffer<ArrayBuffer>): void {
  if (bytes.byteLength === bytes.buffer.byteLength) bytes.buffer.transfer(0);
}
