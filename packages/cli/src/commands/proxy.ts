import { carry, Forward } from '@sylph/client';
import { command } from '../command.ts';
import type { Context } from '../context.ts';
import { CliError, describe, usageError } from '../failure.ts';
import { printable } from '../output/style.ts';
import { parsePair, parseTarget, type PortPair } from '../ports/pairs.ts';

export const proxy = command({
  name: 'proxy',
  summary: 'reach TCP ports of a sprite from here',
  description:
    'Listens on 127.0.0.1 and passes connections on, until Ctrl+C. A port is REMOTE, LOCAL:REMOTE or LOCAL:HOST:REMOTE, with HOST as seen from inside; LOCAL 0 takes any that is free. A connection keeps the sprite awake while bytes flow; it ends when the sprite goes to sleep.',
  examples: [
    'sylph proxy 3000',
    'sylph proxy 8080:80 5432:db.internal:5432',
    "ssh -o ProxyCommand='sylph proxy -s box -W 22' sprite@box",
  ],
  arguments: [{ name: '[port…]', description: 'ports to forward' }],
  common: ['org', 'sprite'],
  options: {
    stdio: {
      kind: 'text',
      short: 'W',
      placeholder: '[HOST:]PORT',
      description: 'one connection, over stdin and stdout',
    },
  },
  async run(context, args, { stdio }) {
    if (stdio !== undefined) {
      if (args.length > 0) throw usageError('-W takes the place of ports to forward', 'leave one of both out');
      return overStdio(context, parseTarget(stdio));
    }
    if (args.length === 0) throw usageError('name a port', 'for example: sylph proxy 3000');
    return forwardAll(
      context,
      args.map((text) => parsePair(text)),
    );
  },
});

/** Nothing but the connection's bytes goes to stdout. */
async function overStdio(context: Context, target: { host: string; port: number }): Promise<number> {
  const sprite = await context.sprite();
  const connection = await (await context.client()).dial(sprite, target);
  try {
    await carry({ from: process.stdin, to: process.stdout }, connection);
    return 0;
  } finally {
    process.stdin.destroy();
  }
}

async function forwardAll(context: Context, pairs: readonly PortPair[]): Promise<never> {
  const sprite = await context.sprite();
  const client = await context.client();
  const { out } = context;
  // A wrong name or token is told now, not with the first connection.
  await client.sprites.get(sprite);
  const forwards: { pair: PortPair; forward: Forward }[] = [];
  for (const pair of pairs) {
    const failed = (thrown: unknown): void => {
      const reason = describe(thrown).message;
      out.note(`sylph: a connection to ${nameOf(pair)} failed: ${printable(reason)}`);
      if (out.json) void out.result({ type: 'failed', ...remoteOf(pair), error: reason }, () => '');
    };
    const options = { client, sprite, target: { host: pair.host, port: pair.port }, failed };
    forwards.push({ pair, forward: await listen(pair, options) });
  }
  for (const { pair, forward } of forwards) {
    await out.result(
      { type: 'listening', local_host: '127.0.0.1', local_port: forward.port, ...remoteOf(pair) },
      () => `127.0.0.1:${forward.port} → ${nameOf(pair)} of ${sprite}\n`,
    );
  }
  out.note('Ctrl+C ends it.');
  return new Promise(() => undefined);
}

async function listen(pair: PortPair, options: Parameters<typeof Forward.listen>[1]): Promise<Forward> {
  try {
    return await Forward.listen(pair.local, options);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    const why =
      code === 'EADDRINUSE' ? 'is in use here' : code === 'EACCES' ? 'is not for everybody here' : String(thrown);
    throw new CliError(`port ${pair.local} ${why}`, {
      code: 'port_taken',
      hint: `choose another: sylph proxy 0:${nameOf(pair)}`,
      cause: thrown,
    });
  }
}

const remoteOf = ({ host, port }: PortPair): object => ({ remote_host: host, remote_port: port });

function nameOf({ host, port }: PortPair): string {
  if (host === 'localhost') return String(port);
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
