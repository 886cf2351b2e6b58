/** Keys of parameters, RFC 9460 section 14.3.2. */
const mandatoryKey = 0;
const hintKeys = new Set([4, 6]);

/**
 * A record of type SVCB or HTTPS (RFC 9460 section 2.2) without address hints: addresses come from A and AAAA, where they are checked and admitted. Undefined where the record is malformed or makes the hints mandatory.
 */
export function withoutHints(data: Buffer): Buffer | undefined {
  const parametersAt = endOfName(data, 2);
  if (parametersAt === undefined) return undefined;
  const kept = [data.subarray(0, parametersAt)];
  for (let at = parametersAt; at < data.length;) {
    if (at + 4 > data.length) return undefined;
    const key = data.readUInt16BE(at);
    const end = at + 4 + data.readUInt16BE(at + 2);
    if (end > data.length) return undefined;
    if (key === mandatoryKey && keysIn(data.subarray(at + 4, end)).some((wanted) => hintKeys.has(wanted)))
      return undefined;
    if (!hintKeys.has(key)) kept.push(data.subarray(at, end));
    at = end;
  }
  return Buffer.concat(kept);
}

/** Names in these records are never compressed. */
function endOfName(data: Buffer, start: number): number | undefined {
  for (let at = start; at < data.length;) {
    const length = data.readUInt8(at);
    if (length > 63) return undefined;
    at += 1 + length;
    if (length === 0) return at;
  }
  return undefined;
}

function keysIn(list: Buffer): number[] {
  return Array.from({ length: list.length >> 1 }, (_, index) => list.readUInt16BE(index * 2));
}
