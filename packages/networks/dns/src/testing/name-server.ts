import dgram from 'node:dgram';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import dnsPacket, { type Answer, type Question } from 'dns-packet';

/** What a name server of a test says: records, a code, bytes as they are, or nothing at all. */
export type Said =
  | {
      answers?: Answer[];
      authorities?: Answer[];
      additionals?: Answer[];
      rcode?: number;
      truncated?: boolean;
      delayMs?: number;
      id?: number;
      question?: Question;
    }
  | { raw: (query: Buffer) => Buffer }
  | { fromElsewhere: Answer[] }
  | undefined;

/** A name server on this host, over UDP and TCP, that says what a test has it say. */
export class NameServer implements AsyncDisposable {
  readonly #udp = dgram.createSocket('udp4');
  readonly #tcp = createServer((socket) => this.#serve(socket));
  readonly #stray = dgram.createSocket('udp4');
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #port = 0;
  /** What was asked, `udp A example.com`. */
  readonly asked: string[] = [];
  /** Ports questions came from, and their ids. */
  readonly sources: { port: number; id: number }[] = [];
  say: (question: { name: string; type: string }, transport: 'udp' | 'tcp') => Said;

  constructor(say: NameServer['say']) {
    this.say = say;
  }

  /** Port 0: any. */
  async open(address = '127.0.0.1', port = 0): Promise<this> {
    this.#tcp.listen(port, address);
    await once(this.#tcp, 'listening');
    this.#port = (this.#tcp.address() as AddressInfo).port;
    this.#udp.on('message', (bytes, { port, address }) => {
      this.sources.push({ port, id: bytes.readUInt16BE(0) });
      this.#answer(bytes, 'udp', (answer, stray) => (stray ? this.#stray : this.#udp).send(answer, port, address));
    });
    await Promise.all([bound(this.#udp, address, this.#port), bound(this.#stray, '127.0.0.1', 0)]);
    return this;
  }

  get upstream(): string {
    return `127.0.0.1:${this.#port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const socket of this.#sockets) socket.destroy();
    const closed = once(this.#tcp, 'close');
    this.#tcp.close();
    await Promise.all([
      closed,
      ...[this.#udp, this.#stray].map((socket) => new Promise<void>((done) => void socket.close(done))),
    ]);
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.once('data', (chunk: Buffer) =>
      this.#answer(chunk.subarray(2), 'tcp', (answer) => {
        const length = Buffer.alloc(2);
        length.writeUInt16BE(answer.length);
        // In pieces, as a network may.
        socket.write(length.subarray(0, 1));
        setImmediate(() => socket.write(Buffer.concat([length.subarray(1), answer])));
      }),
    );
  }

  #answer(query: Buffer, transport: 'udp' | 'tcp', send: (answer: Buffer, stray?: boolean) => void): void {
    const packet = dnsPacket.decode(query);
    const question = packet.questions?.[0] as Question;
    this.asked.push(`${transport} ${question.type} ${question.name}`);
    const said = this.say({ name: question.name, type: question.type }, transport);
    if (said === undefined) return;
    if ('raw' in said) return send(said.raw(query));
    const reply = 'fromElsewhere' in said ? { answers: said.fromElsewhere } : said;
    const written = dnsPacket.encode({
      type: 'response',
      id: ('id' in reply ? reply.id : undefined) ?? packet.id ?? 0,
      flags:
        ('rcode' in reply ? (reply.rcode ?? 0) : 0) |
        ('truncated' in reply && reply.truncated ? dnsPacket.TRUNCATED_RESPONSE : 0),
      questions: [('question' in reply ? reply.question : undefined) ?? question],
      answers: reply.answers ?? [],
      authorities: ('authorities' in reply ? reply.authorities : undefined) ?? [],
      additionals: ('additionals' in reply ? reply.additionals : undefined) ?? [],
    });
    const stray = 'fromElsewhere' in said;
    const delayMs = ('delayMs' in reply ? reply.delayMs : undefined) ?? 0;
    if (delayMs === 0) return send(written, stray);
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      send(written, stray);
    }, delayMs);
    this.#timers.add(timer);
  }
}

async function bound(socket: dgram.Socket, address: string, port: number): Promise<void> {
  socket.bind(port, address);
  await once(socket, 'listening');
}
