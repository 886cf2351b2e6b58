// A program that speaks TCP, UDP and DNS in a namespace of a test, as it is told: JSON lines in, JSON lines out. See party.ts.
import dnsPacket from 'dns-packet';
import { once } from 'node:events';
import dgram from 'node:dgram';
import dns from 'node:dns/promises';
import net from 'node:net';
import readline from 'node:readline';

const timeoutMs = 2_500;
const sockets = new Map<number, net.Socket>();
const received: string[] = [];
let nextSocket = 1;
/** What its servers were connected to by last. */
let latest: net.Socket | undefined;

type Order =
  | { id: number; op: 'serve'; address: string; port: number }
  | { id: number; op: 'dial'; address: string; port: number }
  | { id: number; op: 'say'; socket: number; text: string }
  | { id: number; op: 'ask'; address: string; port: number; text: string }
  | { id: number; op: 'resolve'; server: string; name: string; type: 'A' | 'AAAA' }
  | { id: number; op: 'resolve-tcp'; name: string }
  | { id: number; op: 'push' }
  | { id: number; op: 'received' };

async function obey(order: Order): Promise<unknown> {
  switch (order.op) {
    case 'serve':
      return serve(order);
    case 'dial':
      return dial(order);
    case 'say':
      return say(order);
    case 'ask':
      return ask(order);
    case 'resolve': {
      const resolver = new dns.Resolver({ timeout: timeoutMs, tries: 1 });
      resolver.setServers([order.server]);
      return resolver.resolve(order.name, order.type);
    }
    case 'resolve-tcp':
      return resolveOverTcp(order.name);
    case 'push':
      return push();
    case 'received':
      return received;
    default:
      return order satisfies never;
  }
}

/** Greets whoever connects with the address he comes from, and echoes. Datagrams are noted and echoed. */
async function serve({ address, port }: { address: string; port: number }): Promise<void> {
  const tcp = net.createServer((socket) => {
    socket.on('error', () => {});
    latest = socket;
    socket.write(`hello ${socket.remoteAddress}\n`);
    socket.on('data', (data) => socket.write(data));
  });
  tcp.listen({ port, host: address, ipv6Only: true });
  await once(tcp, 'listening');
  const udp = dgram.createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', ipv6Only: address.includes(':') });
  udp.on('message', (data, from) => {
    received.push(`${data.toString()} from ${from.address}`);
    udp.send(data, from.port, from.address, () => {});
  });
  udp.bind(port, address);
  await once(udp, 'listening');
}

async function dial({
  address,
  port,
}: {
  address: string;
  port: number;
}): Promise<{ socket: number; greeting: string }> {
  const socket = net.connect({ host: address, port });
  const greeting = await within(once(socket, 'data'), socket);
  const number = nextSocket++;
  sockets.set(number, socket);
  return { socket: number, greeting: String(greeting).trim() };
}

async function say({ socket: number, text }: { socket: number; text: string }): Promise<string> {
  const socket = sockets.get(number);
  if (!socket) throw new Error('no such socket');
  if (socket.errored) throw socket.errored;
  socket.write(text);
  return String(await within(once(socket, 'data'), undefined));
}

async function ask({ address, port, text }: { address: string; port: number; text: string }): Promise<string> {
  const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
  try {
    // Connected, so that what comes back by ICMP is told.
    socket.connect(port, address);
    await once(socket, 'connect');
    socket.send(text);
    return String(((await within(once(socket, 'message'), undefined)) as unknown[])[0]);
  } finally {
    socket.close();
  }
}

/** Sends to whoever connected last, until that fails; how it did. */
async function push(): Promise<string> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline) {
    if (latest?.errored) return (latest.errored as NodeJS.ErrnoException).code ?? 'closed';
    latest?.write('more');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return 'TIMEOUT';
}

/** IPv4 addresses of a name, asked for over TCP at the guest's resolver. */
async function resolveOverTcp(name: string): Promise<string[]> {
  const socket = net.connect({ host: '10.0.0.2', port: 53 });
  socket.write(
    dnsPacket.streamEncode({
      type: 'query',
      id: 7,
      flags: dnsPacket.RECURSION_DESIRED,
      questions: [{ type: 'A', name }],
    }),
  );
  const [bytes] = (await within(once(socket, 'data'), socket)) as [Buffer];
  socket.destroy();
  return dnsPacket.streamDecode(bytes).answers?.flatMap((answer) => (answer.type === 'A' ? [answer.data] : [])) ?? [];
}

async function within<T>(promise: Promise<T>, socket: net.Socket | undefined): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      socket?.destroy();
      reject(Object.assign(new Error('nothing came'), { code: 'TIMEOUT' }));
    }, timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as Order;
  void obey(order).then(
    (result) => process.stdout.write(`${JSON.stringify({ id: order.id, result: result ?? null })}\n`),
    (error: NodeJS.ErrnoException) =>
      process.stdout.write(`${JSON.stringify({ id: order.id, error: error.code ?? error.message })}\n`),
  );
}
process.exit();
