import { randomBytes, randomUUID } from 'node:crypto';
import http2 from 'node:http2';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Vm } from '@sylph/engine';
import {
  type ControlRequest,
  FrameDecoder,
  controlReply,
  decodeOffsetPayload,
  encodeFrame,
  frameType,
} from '@sylph/model';

const deadlineMs = 90_000;
const repeatMs = 200;

/** As little of the guest wire (ARCHITECTURE.md) as it takes to run a command in a VM just started. Close it. */
export class Guest implements AsyncDisposable {
  readonly #session: http2.ClientHttp2Session;
  readonly #sockets: net.Socket[];
  #processes = Date.now() % 1_000_000_000;

  private constructor(session: http2.ClientHttp2Session, sockets: net.Socket[]) {
    this.#session = session;
    this.#sockets = sockets;
  }

  /** Waits for the agent, tells it of its start and opens the data session. */
  static async connect(vm: Vm): Promise<Guest> {
    const until = performance.now() + deadlineMs;
    const control = net.connect(vm.sockets.control);
    control.on('error', () => {});
    while (!(await ask(control, { op: 'hello', versions: [1] })))
      if (performance.now() > until) throw new Error('no agent answers');
    const nonce = randomBytes(16);
    const identity = {
      time: String(BigInt(Date.now()) * 1_000_000n),
      entropy: randomBytes(64).toString('base64'),
      generationId: randomUUID(),
    };
    const resume = {
      op: 'resume',
      ...identity,
      hostname: 'test',
      spriteId: 'sprite-test',
      machineId: randomBytes(16).toString('hex'),
      newIdentity: false,
      nonce: nonce.toString('hex'),
    } as const;
    while (!(await ask(control, resume))) if (performance.now() > until) throw new Error('the agent does not resume');
    const data = net.connect(vm.sockets.data);
    data.on('error', () => {});
    data.write(nonce);
    await skipThrough(data, nonce);
    const session = http2.connect('http://agent', { createConnection: () => data });
    session.on('error', () => {});
    return new Guest(session, [control, data]);
  }

  /** Runs a shell command to its end. Output of both streams; throws on another exit code than 0. */
  async run(command: string): Promise<string> {
    const id = String(++this.#processes);
    const spec = {
      id,
      argv: ['sh', '-c', command],
      path: '/bin/sh',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      dir: '/',
      user: 'root',
      tty: null,
      stdin: false,
    };
    const stream = this.#session.request({ ':method': 'POST', ':path': '/v1/processes' }, { endStream: false });
    stream.write(encodeFrame(frameType.spec, Buffer.from(JSON.stringify(spec))));
    const decoder = new FrameDecoder();
    let output = '';
    try {
      for await (const chunk of stream) {
        for (const { type, payload } of decoder.push(chunk as Buffer)) {
          if (type === frameType.stdout || type === frameType.stderr)
            output += decodeOffsetPayload(payload).bytes.toString();
          if (type === frameType.failed) throw new Error(`not started: ${payload.toString()}`);
          if (type !== frameType.exit) continue;
          const { code } = JSON.parse(payload.toString()) as { code: number };
          if (code !== 0) throw new Error(`exit code ${code}: ${output}`);
          return output;
        }
      }
    } finally {
      stream.close();
    }
    throw new Error(`the stream broke: ${output}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#session.destroy();
    for (const socket of this.#sockets) socket.destroy();
    await Promise.resolve();
  }
}

/** Whether the guest did what was asked and is ready; false when it does not answer in time. */
async function ask(control: net.Socket, request: ControlRequest): Promise<boolean> {
  const id = randomUUID();
  control.write(`\n${JSON.stringify({ id, ...request })}\n`);
  const answered = Promise.withResolvers<boolean>();
  let text = '';
  const onData = (chunk: Buffer): void => {
    text += chunk.toString();
    const found = text.split('\n').find((line) => line.includes(id) && line.endsWith('}'));
    const reply = found === undefined ? undefined : controlReply.safeParse(JSON.parse(found)).data;
    if (reply !== undefined) answered.resolve(reply.ok && reply.ready === true);
  };
  control.on('data', onData);
  try {
    return await Promise.race([
      answered.promise,
      sleep(request.op === 'hello' ? repeatMs : deadlineMs, false, { ref: false }),
    ]);
  } finally {
    control.off('data', onData);
  }
}

async function skipThrough(socket: net.Socket, nonce: Buffer): Promise<void> {
  let seen = Buffer.alloc(0);
  for (;;) {
    const chunk = (socket.read() as Buffer | null) ?? Buffer.alloc(0);
    seen = Buffer.concat([seen, chunk]);
    const at = seen.indexOf(nonce);
    if (at >= 0) {
      socket.unshift(seen.subarray(at + nonce.length));
      return;
    }
    await new Promise((resolve) => socket.once('readable', resolve));
  }
}
