import dgram from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import dnsPacket, { type Answer, type Question, type RecordType } from 'dns-packet';
import { lengthOf } from '../exchange.ts';

/** An answer as a test looks at it. */
export interface Heard {
  rcode: string;
  truncated: boolean;
  id: number;
  /** `name type data`, without TTLs. */
  lines: string[];
  answers: Answer[];
  sizeBytes: number;
}

/** Asks 127.0.0.1 over UDP. Undefined: no answer in time. */
export async function askUdp(
  port: number,
  question: string | Buffer,
  options: { waitMs?: number; edns?: number } = {},
): Promise<Heard | undefined> {
  await using socket = await openUdp();
  socket.send(Buffer.isBuffer(question) ? question : queryBytes(question, options.edns), port);
  try {
    const [bytes] = (await once(socket.socket, 'message', {
      signal: AbortSignal.timeout(options.waitMs ?? 5_000),
    })) as [Buffer];
    return heard(bytes);
  } catch (error) {
    if ((error as Error).name === 'AbortError') return undefined;
    throw error;
  }
}

/** Asks 127.0.0.1 over TCP, several questions on one connection; as many answers as came before it was ended. */
export async function askTcp(port: number, questions: (string | Buffer)[]): Promise<Heard[]> {
  const socket = connect(port, '127.0.0.1');
  const answers: Heard[] = [];
  let unread = Buffer.alloc(0);
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => {
    unread = Buffer.concat([unread, chunk]);
    while (unread.length >= 2 && unread.length >= 2 + unread.readUInt16BE(0)) {
      answers.push(heard(unread.subarray(2, 2 + unread.readUInt16BE(0))));
      unread = unread.subarray(2 + unread.readUInt16BE(0));
    }
    if (answers.length === questions.length) socket.end();
  });
  for (const question of questions) {
    const bytes = Buffer.isBuffer(question) ? question : queryBytes(question);
    socket.write(Buffer.concat([lengthOf(bytes), bytes]));
  }
  await once(socket, 'close');
  return answers;
}

/** `A example.com` as a question. */
export function queryBytes(question: string, edns?: number): Buffer {
  const [type, name, questionClass = 'IN'] = question.split(' ') as [RecordType, string, Question['class']];
  return dnsPacket.encode({
    type: 'query',
    id: 0x1234,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ type, name, class: questionClass }],
    additionals:
      edns === undefined
        ? []
        : [
            {
              type: 'OPT',
              name: '.',
              udpPayloadSize: edns,
              extendedRcode: 0,
              ednsVersion: 0,
              flags: 0,
              flag_do: false,
              options: [],
            },
          ],
  });
}

async function openUdp(): Promise<AsyncDisposable & { socket: dgram.Socket; send(bytes: Buffer, port: number): void }> {
  const socket = dgram.createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {
    socket,
    send: (bytes, port) => socket.send(bytes, port, '127.0.0.1'),
    [Symbol.asyncDispose]: () => new Promise((closed) => void socket.close(closed)),
  };
}

function heard(bytes: Buffer): Heard {
  const packet = dnsPacket.decode(bytes);
  const { rcode } = packet as unknown as { rcode: string };
  const answers = packet.answers ?? [];
  const lines = answers.map((record) => `${record.name} ${record.type} ${shown('data' in record ? record.data : '')}`);
  return { rcode, truncated: packet.flag_tc, id: packet.id ?? 0, lines, answers, sizeBytes: bytes.length };
}

function shown(data: unknown): string {
  return typeof data === 'string' ? data : JSON.stringify(data);
}
