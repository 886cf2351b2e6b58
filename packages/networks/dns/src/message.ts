import dnsPacket, { type Answer, type DecodedPacket, type Packet, type Question, type RecordType } from 'dns-packet';
import { canonicalName } from './names.ts';
import { writeMessage } from './reply-writer.ts';

/** UDP payload we take and give: what fits a packet on nearly every path (DNS Flag Day 2020). */
export const maxUdpBytes = 1_232;
/** Longest question over UDP or TCP: a name, EDNS options, padding. */
export const maxQueryBytes = 4_096;
/** UDP payload of who does not say, RFC 1035 section 4.2.1. */
const plainUdpBytes = 512;

/** Response codes, RFC 1035 section 4.1.1. */
export const rcodes = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;
/** Name of a response code. */
export type Rcode = keyof typeof rcodes;

/** The library has no names for these two, RFC 9460. */
export const bindingTypes = { SVCB: 'UNKNOWN_64', HTTPS: 'UNKNOWN_65' } as const;

/** A question of a sprite. */
export interface Query {
  id: number;
  /** As it was asked. */
  name: string;
  /** As names are compared; undefined where no host can have it. */
  canonical: string | undefined;
  /** The library's name of the type: `A`, `UNKNOWN_65`. */
  type: string;
  class: string;
  /** Something else than a question, such as an update. */
  otherOperation: boolean;
  recursionDesired: boolean;
  /** Largest answer over UDP. */
  udpBytes: number;
  edns: boolean;
}

/** Reads a question. Undefined for anything that is none: there is nobody to answer. */
export function readQuery(bytes: Buffer): Query | undefined {
  if (bytes.length > maxQueryBytes) return undefined;
  const packet = decoded(bytes);
  const [question] = packet?.questions ?? [];
  if (!packet || packet.flag_qr || packet.questions?.length !== 1 || !question || !writable(question.name))
    return undefined;
  const opt = packet.additionals?.find((record) => record.type === 'OPT');
  return {
    id: packet.id ?? 0,
    name: question.name,
    canonical: canonicalName(question.name),
    type: question.type,
    class: question.class ?? 'IN',
    otherOperation: ((packet.flags ?? 0) & 0x78_00) !== 0,
    recursionDesired: packet.flag_rd,
    udpBytes: opt === undefined ? plainUdpBytes : Math.min(Math.max(opt.udpPayloadSize, plainUdpBytes), maxUdpBytes),
    edns: opt !== undefined,
  };
}

/** What a sprite is answered. */
export interface Reply {
  rcode: Rcode;
  answers: readonly Answer[];
  authorities: readonly Answer[];
}

/** An answer with nothing in it. */
export function emptyReply(rcode: Rcode): Reply {
  return { rcode, answers: [], authorities: [] };
}

/** Writes an answer, with the question it is to; one that is longer than `maxBytes` is cut and says so, and the asker comes back over TCP. Throws on a record that cannot be written. */
export function writeReply(query: Query, { rcode, answers, authorities }: Reply, maxBytes: number): Buffer {
  const desired = query.recursionDesired ? dnsPacket.RECURSION_DESIRED : 0;
  const head: Packet = {
    type: 'response',
    id: query.id,
    flags: dnsPacket.RECURSION_AVAILABLE | desired | rcodes[rcode],
    questions: [questionOf(query.name, query.type, query.class)],
  };
  return writeMessage(head, { answers, authorities, additionals: query.edns ? [ourOptions] : [] }, maxBytes);
}

const ourOptions: Answer = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: maxUdpBytes,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

/** A question to a name server. */
export function writeUpstreamQuery(id: number, name: string, type: string): Buffer {
  return dnsPacket.encode({
    type: 'query',
    id,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [questionOf(name, type)],
    additionals: [ourOptions],
  });
}

/** What a name server said, as far as anything is made of it. */
export interface UpstreamReply {
  rcode: number;
  truncated: boolean;
  answers: readonly Answer[];
  authorities: readonly Answer[];
  /** As it came. */
  sizeBytes: number;
}

/** Reads the answer to a question. Undefined where it is the answer to another one; throws where it is broken. */
export function readUpstreamReply(
  bytes: Buffer,
  asked: { id: number; name: string; type: string },
): UpstreamReply | undefined {
  if (bytes.length < 12 || bytes.readUInt16BE(0) !== asked.id || (bytes.readUInt8(2) & 0x80) === 0) return undefined;
  // Additional records are hints nobody uses: they are left unread.
  const kept = Buffer.from(bytes);
  kept.writeUInt16BE(0, 10);
  const packet = dnsPacket.decode(kept);
  const [question] = packet.questions ?? [];
  if (packet.questions?.length !== 1 || !question) return undefined;
  if (canonicalName(question.name) !== asked.name || question.type !== asked.type) return undefined;
  return {
    rcode: (packet.flags ?? 0) & 0xf,
    truncated: packet.flag_tc,
    answers: (packet.answers ?? []).filter(isInternet),
    authorities: (packet.authorities ?? []).filter(isInternet),
    sizeBytes: bytes.length,
  };
}

function isInternet(record: Answer): boolean {
  return record.type !== 'OPT' && (record.class === undefined || record.class === 'IN');
}

function questionOf(name: string, type: string, questionClass = 'IN'): Question {
  // Its types know neither types nor classes by number, which it reads and writes.
  return { name, type: type as RecordType, class: questionClass as 'IN' };
}

/** Undefined where the library finds no packet: it throws on whatever it runs out of. */
function decoded(bytes: Buffer): DecodedPacket | undefined {
  try {
    return dnsPacket.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Whether a name can be written as it was read: no label is empty or too long, nothing in it is cut differently or unprintable. */
export function writable(name: string): boolean {
  return (
    name === '.' || (name.length <= 253 && /^[\x21-\x2d\x2f-\x7e]{1,63}(\.[\x21-\x2d\x2f-\x7e]{1,63})*$/.test(name))
  );
}

export type { Answer };
