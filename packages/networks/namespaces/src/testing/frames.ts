import { guestMac } from '@sylph/engine';
import { internet, ports } from './internet.ts';

/** An Ethernet frame with an IPv4 packet to the web server; what is given differs from an honest one. */
export interface Frame {
  text?: string;
  mac?: string;
  source?: string;
  sourcePort?: number;
  port?: number;
  /** Of IP; the payload is a UDP datagram all the same. */
  protocol?: number;
}

/** Bytes of a frame. UDP goes without checksum, which it may. */
export function frameOf({
  text = '',
  mac = guestMac,
  source = '10.0.0.1',
  protocol = 17,
  sourcePort = 40_000,
  port = ports.other,
}: Frame): Buffer {
  const payload = Buffer.from(text);
  const udp = Buffer.alloc(8);
  udp.writeUInt16BE(sourcePort, 0);
  udp.writeUInt16BE(port, 2);
  udp.writeUInt16BE(8 + payload.length, 4);
  const ip = Buffer.alloc(20);
  ip[0] = 0x45;
  ip.writeUInt16BE(28 + payload.length, 2);
  ip[8] = 64;
  ip[9] = protocol;
  bytesOf(source, '.').copy(ip, 12);
  bytesOf(internet.web4, '.').copy(ip, 16);
  ip.writeUInt16BE(checksum(ip), 10);
  return Buffer.concat([hex('52:55:0a:00:00:02'), hex(mac), Buffer.from([8, 0]), ip, udp, payload]);
}

function bytesOf(address: string, separator: string): Buffer {
  return Buffer.from(address.split(separator).map(Number));
}

function hex(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

/** RFC 1071. */
function checksum(header: Buffer): number {
  let sum = 0;
  for (let at = 0; at < header.length; at += 2) sum += header.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
