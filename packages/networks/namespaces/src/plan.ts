import { SylphError } from '@sylph/model';

/** Port of the forwarder. Slots send DNS there for as long as they exist, so it is the same for every daemon. */
export const forwarderPort = 10_053;

/** Instances a host can have: each has a block of the range. */
const instanceBits = 4;
/** Slots of an instance at most, whatever its block holds: the third and fourth byte of their hardware addresses number them. */
const maxSlots = 8_000;
/** Offset of the first slot's address in the block; the forwarder's is 1. */
const firstSlotOffset = 16;

/** What carries an instance's name and where its slots lie. */
export interface Instance {
  readonly number: number;
  /** Its link and its table in the host. */
  readonly name: string;
  readonly block4: string;
  readonly block6: string;
  readonly forwarder4: string;
  readonly forwarder6: string;
  readonly slots: number;
}

/** Names and addresses of a slot. */
export interface Slot {
  readonly number: number;
  /** Its namespace, and the host's end of its veth. */
  readonly name: string;
  readonly address4: string;
  readonly address6: string;
  /** Hardware addresses of the veth's ends: given, so that neither side has to ask. */
  readonly hostMac: string;
  readonly uplinkMac: string;
}

/** How many instances a range has room for, and how long the prefix of each is. Throws `invalid_request` for a range too small for one. */
export function rangeLayout(range: string): { base: number; prefix: number; instances: number } {
  const [text = '', bits = ''] = range.split('/');
  const rangePrefix = Number(bits);
  if (rangePrefix > 26 || rangePrefix < 8)
    throw new SylphError('invalid_request', `network-range ${range} must have a prefix of 8 to 26 bits`);
  const prefix = Math.max(Math.min(rangePrefix + instanceBits, 24), rangePrefix);
  const base = (toNumber(text) & maskOf(rangePrefix)) >>> 0;
  return { base, prefix, instances: 2 ** (prefix - rangePrefix) };
}

/** Instance of a number, of those {@link rangeLayout} has room for. */
export function instanceOf(range: string, number: number): Instance {
  const { base, prefix } = rangeLayout(range);
  const size = 2 ** (32 - prefix);
  const start = base + number * size;
  // From 1 up: with a 0 there, addresses would be written another way.
  const network6 = `fd73:796c:7068:${(number + 1).toString(16)}`;
  return {
    number,
    name: `sylph${number}`,
    block4: `${toText(start)}/${prefix}`,
    block6: `${network6}::/64`,
    forwarder4: toText(start + 1),
    forwarder6: `${network6}::1`,
    slots: Math.min(size - firstSlotOffset - 1, maxSlots),
  };
}

/** Slot of a number below `instance.slots`. */
export function slotOf(instance: Instance, number: number): Slot {
  const start = toNumber(instance.block4.split('/')[0] as string);
  const offset = firstSlotOffset + number;
  const tail = `${hex(instance.number)}:${hex(offset >> 8)}:${hex(offset & 0xff)}`;
  return {
    number,
    name: `${instance.name}-${number}`,
    address4: toText(start + offset),
    address6: `${instance.block6.replace('::/64', '')}::${offset.toString(16)}`,
    hostMac: `02:73:01:${tail}`,
    uplinkMac: `02:73:02:${tail}`,
  };
}

/** The slot's number, undefined when the name is none of this instance's slots. */
export function slotNumber(instance: Instance, name: string): number | undefined {
  const match = /^(sylph\d+)-(0|[1-9]\d{0,4})$/.exec(name);
  return match?.[1] === instance.name ? Number(match[2]) : undefined;
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}

function maskOf(prefix: number): number {
  return (0xffff_ffff << (32 - prefix)) >>> 0;
}

function toNumber(address: string): number {
  return address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);
}

function toText(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.');
}
