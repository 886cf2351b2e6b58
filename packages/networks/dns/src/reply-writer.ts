import dnsPacket, { type Answer, type Packet } from 'dns-packet';

/** Type, class, life and length of a record, between its name and its data: RFC 1035 section 4.1.3. */
const fixedBytes = 10;
/** Names further in cannot be pointed at. */
const maxPointer = 0x3f_ff;

/**
 * Writes a message, in at most `maxBytes`. The library repeats names; here one that stood before is a pointer to it (RFC 1035 section 4.1.4), which is what lets most answers fit a datagram. Records that do not fit are left out, the
 * last first, and the message says that it is cut; what `additionals` has always fits. Throws on a record that cannot be written.
 */
export function writeMessage(
  head: Packet,
  records: { answers: readonly Answer[]; authorities: readonly Answer[]; additionals: readonly Answer[] },
  maxBytes: number,
): Buffer {
  const start = dnsPacket.encode(head);
  const end = Buffer.concat(records.additionals.map(bytesOf));
  const seen = new Map(head.questions?.map(({ name }) => [name.toLowerCase(), 12]));
  const parts: Buffer[] = [start];
  const counts = [0, 0];
  let sizeBytes = start.length;
  let cut = false;
  for (const [section, list] of [records.answers, records.authorities].entries())
    for (const record of list) {
      if (cut) break;
      const written = shortened(record, seen, sizeBytes);
      cut = sizeBytes + written.length + end.length > maxBytes;
      if (cut) break;
      parts.push(written);
      sizeBytes += written.length;
      counts[section] = (counts[section] ?? 0) + 1;
    }
  const message = Buffer.concat([...parts, end]);
  if (cut) message.writeUInt16BE(message.readUInt16BE(2) | dnsPacket.TRUNCATED_RESPONSE, 2);
  message.writeUInt16BE(counts[0] ?? 0, 6);
  message.writeUInt16BE(counts[1] ?? 0, 8);
  message.writeUInt16BE(records.additionals.length, 10);
  return message;
}

/** A record, its name as a pointer where it stood before; remembers where names stand in a message in which it is at `at`. */
function shortened(record: Answer, seen: Map<string, number>, at: number): Buffer {
  const bytes = bytesOf(record);
  const nameBytes = record.name === '.' ? 1 : record.name.length + 2;
  const before = seen.get(record.name.toLowerCase());
  const name = before === undefined ? bytes.subarray(0, nameBytes) : Buffer.from([0xc0 | (before >> 8), before & 0xff]);
  remember(record.name, at);
  // The next name of a chain is where this one leads.
  if (record.type === 'CNAME') remember(record.data, at + name.length + fixedBytes);
  return Buffer.concat([name, bytes.subarray(nameBytes)]);

  function remember(text: string, offset: number): void {
    const key = text.toLowerCase();
    if (text !== '.' && offset <= maxPointer && !seen.has(key)) seen.set(key, offset);
  }
}

/** A record by itself, behind a header that is cut off. */
function bytesOf(record: Answer): Buffer {
  return dnsPacket.encode({ answers: [record] }).subarray(12);
}
