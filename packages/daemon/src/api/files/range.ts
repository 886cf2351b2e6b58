/** A part of a file: a negative offset counts from the end. */
export interface Range {
  offset: number;
  lengthBytes?: number | undefined;
}

/** The one range of a `Range` header (RFC 9110, section 14.2). Undefined: the whole is to be sent, as for anything that is not understood, and for several ranges. */
export function rangeOf(header: string | undefined): Range | undefined {
  const [, first = '', last = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.replaceAll(/\s/g, '') ?? '') ?? [];
  if (first === '') return last === '' ? undefined : { offset: -Number(last) };
  if (last === '') return { offset: Number(first) };
  const lengthBytes = Number(last) - Number(first) + 1;
  return lengthBytes > 0 ? { offset: Number(first), lengthBytes } : undefined;
}
