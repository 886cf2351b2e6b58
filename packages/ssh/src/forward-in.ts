import type { GuestConnection, SpriteLease } from '@sylph/engine';
import { portHost } from '@sylph/model';
import type { AcceptConnection, Connection, RejectConnection, ServerChannel } from 'ssh2';
import type { ConnectionParts } from './connection-parts.ts';
import { carry, notable } from './tunnel.ts';

/** Connections a client wants to make from inside its sprite (`ssh -L`, `-D`, `-W`): to ports as its programs reach them, and to Unix sockets as its user. Never from the host. */
export function serveForwardsIn(client: Connection, parts: ConnectionParts): void {
  client.on('tcpip', (accept, reject, { destIP: host, destPort: port }) => {
    if (!portHost.safeParse(host).success || port < 1 || port > 65_535) return reject();
    return void connect(accept, reject, parts, ({ channel }) =>
      channel.dial({ host, port }, { signal: parts.link.over }),
    );
  });
  client.on('openssh.streamlocal' as 'tcpip', (accept, reject, info) => {
    const { socketPath: path } = info as unknown as { socketPath: string };
    void connect(accept, reject, parts, ({ channel, view }) => {
      const { user } = parts.deps.commandBase(view);
      return channel.sockets.connect({ path, user }, { signal: parts.link.over });
    });
  });
}

/** Never rejects. */
async function connect(
  accept: AcceptConnection<ServerChannel>,
  reject: RejectConnection,
  parts: ConnectionParts,
  open: (lease: SpriteLease) => Promise<GuestConnection>,
): Promise<void> {
  if (!parts.channels.take()) return reject();
  try {
    const connection = await opened(parts, open);
    if (connection !== undefined && !parts.link.over.aborted) await carry(accept(), connection, parts);
    else {
      connection?.stream.destroy();
      reject();
    }
  } finally {
    parts.channels.release();
  }
}

async function opened(
  parts: ConnectionParts,
  open: (lease: SpriteLease) => Promise<GuestConnection>,
): Promise<GuestConnection | undefined> {
  try {
    using lease = await parts.link.use();
    return await open(lease);
  } catch (error) {
    // The client hears that there is no connection, which is all its protocol has a word for.
    const { over } = parts.link;
    if (!over.aborted && notable(error) !== undefined) parts.log.warn({ err: error }, 'a forward could not be made');
    return undefined;
  }
}
