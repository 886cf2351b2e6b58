import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientChannel } from 'ssh2';
import { gather } from './testing/ssh-client.ts';
import { SshWorld } from './testing/ssh-world.ts';

/** A service that answers with what it is sent, upper-case, when that has ended; its place. */
async function shouter(at: string | number): Promise<{ port: number } & AsyncDisposable> {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const heard: Buffer[] = [];
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => heard.push(chunk));
    socket.once('end', () => socket.end(Buffer.concat(heard).toString().toUpperCase()));
  });
  await new Promise<void>((resolve) =>
    typeof at === 'string' ? server.listen(at, () => resolve()) : server.listen(at, '127.0.0.1', () => resolve()),
  );
  const port = typeof at === 'string' ? 0 : (server.address() as net.AddressInfo).port;
  return { port, [Symbol.asyncDispose]: async () => void (await new Promise((resolve) => server.close(resolve))) };
}

/** What a service says to a question. */
async function ask(at: net.NetConnectOpts, question: string): Promise<string> {
  for (const end = Date.now() + 20_000; ; await sleep(50)) {
    const socket = net.connect({ ...at, allowHalfOpen: true });
    const failed = new Promise<'failed'>((resolve) => socket.once('error', () => resolve('failed')));
    if ((await Promise.race([once(socket, 'connect').catch(() => 'failed'), failed])) === 'failed') {
      assert.ok(Date.now() < end, 'nobody listens');
      continue;
    }
    socket.end(question);
    const heard: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => heard.push(chunk));
    // Reset, or ended in order.
    await new Promise((resolve) => socket.once('close', resolve));
    return Buffer.concat(heard).toString();
  }
}

async function freePort(): Promise<number> {
  await using server = await shouter(0);
  return server.port;
}

describe('forwarding through SSH', { concurrency: 2 }, () => {
  let world: SshWorld;
  before(async () => {
    world = await SshWorld.open();
    await mkdir(join(world.dir, 's'));
  });
  after(() => world[Symbol.asyncDispose]());

  /** Runs work while ssh forwards. */
  async function forwarding(args: string[], work: () => Promise<void>): Promise<void> {
    const client = world.start(['-N', ...args], { options: ['ExitOnForwardFailure=yes', 'StreamLocalBindUnlink=yes'] });
    const closed = once(client, 'close');
    try {
      await work();
    } finally {
      client.kill();
      await closed;
    }
  }

  test('ports and Unix sockets inside are reached from here (-L), also by way of SOCKS (-D) and -W', async () => {
    await using service = await shouter(0);
    await using unix = await shouter(join(world.dir, 's/inside'));
    assert.equal(unix.port, 0);
    const [toPort, toSocket, socks] = [await freePort(), await freePort(), await freePort()];
    const args = [`-L${toPort}:localhost:${service.port}`, `-L${toSocket}:${world.dir}/s/inside`, `-D${socks}`];
    await forwarding(args, async () => {
      assert.equal(await ask({ host: '127.0.0.1', port: toPort }, 'one'), 'ONE');
      assert.equal(await ask({ host: '127.0.0.1', port: toSocket }, 'two'), 'TWO');
      // SOCKS 5: no authentication, connect to 127.0.0.1.
      const hello = Buffer.from([5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, service.port >> 8, service.port & 255]);
      const socket = net.connect(socks, '127.0.0.1');
      socket.write(hello.subarray(0, 3));
      await once(socket, 'data');
      socket.write(hello.subarray(3));
      await once(socket, 'data');
      socket.end('three');
      const [said] = (await once(socket, 'data')) as [Buffer];
      assert.equal(said.toString(), 'THREE');
    });
    const through = await world.ssh([`-W127.0.0.1:${service.port}`], { input: 'four' });
    assert.equal(through.stdout, 'FOUR');
  });

  test('nobody listening is an error of the one connection, not of others', async () => {
    const [port, closed] = [await freePort(), await freePort()];
    await forwarding([`-L${port}:127.0.0.1:${closed}`], async () => {
      assert.equal(await ask({ host: '127.0.0.1', port }, 'x'), '');
      assert.equal(await ask({ host: '127.0.0.1', port }, 'x'), '');
    });
    const through = await world.ssh([`-W127.0.0.1:${closed}`]);
    assert.equal(through.code, 255);
  });

  test('services here are reached from inside (-R), by ports and by Unix sockets', async () => {
    await using service = await shouter(0);
    const port = await freePort();
    const path = join(world.dir, 's/back');
    await forwarding([`-R${port}:127.0.0.1:${service.port}`, `-R${path}:127.0.0.1:${service.port}`], async () => {
      assert.equal(await ask({ host: '127.0.0.1', port }, 'five'), 'FIVE');
      assert.equal(await ask({ path }, 'six'), 'SIX');
      const taken = await world.ssh([`-R${port}:127.0.0.1:1`, 'true'], { options: ['ExitOnForwardFailure=yes'] });
      assert.equal(taken.code, 255, 'a port can be listened on once');
    });
    for (const end = Date.now() + 10_000; ; await sleep(50)) {
      const socket = net.connect(port, '127.0.0.1');
      const open = await Promise.race([
        once(socket, 'connect').then(() => true),
        once(socket, 'error').then(() => false),
      ]).catch(() => false);
      socket.destroy();
      if (!open) break;
      assert.ok(Date.now() < end, 'the port is still listened on after its client has gone');
    }
  });

  test('the guest chooses a port when it is asked to, and cancels it', async () => {
    await using client = await world.client();
    const port = await new Promise<number>((resolve, reject) =>
      client.client.forwardIn('localhost', 0, (error, chosen) => (error ? reject(error) : resolve(chosen))),
    );
    client.client.on('tcp connection', (details, accept) => {
      assert.equal(details.destPort, port);
      const channel = accept();
      channel.on('data', (chunk: Buffer) => channel.end(chunk.toString().toUpperCase()));
    });
    assert.equal(await ask({ host: '127.0.0.1', port }, 'seven'), 'SEVEN');
    await new Promise<void>((resolve, reject) =>
      client.client.unforwardIn('localhost', port, (error) => (error ? reject(error) : resolve())),
    );
  });

  test('more listeners than a connection may have are refused', async () => {
    await using client = await world.client();
    const forwarded = await Promise.allSettled(
      Array.from(
        { length: 18 },
        () =>
          new Promise<number>((resolve, reject) =>
            client.client.forwardIn('localhost', 0, (error, chosen) => (error ? reject(error) : resolve(chosen))),
          ),
      ),
    );
    assert.equal(forwarded.filter(({ status }) => status === 'fulfilled').length, 16);
  });

  test('the key agent of a client is there for programs inside, and gone after it (-A)', async () => {
    const sock = join(world.dir, 's/own-agent');
    const script = `
      eval $(ssh-agent -a ${sock}) >/dev/null
      ssh-add -q ${world.dir}/id
      ssh ${world.options('ForwardAgent=yes').join(' ')} one@127.0.0.1 'ssh-add -l; stat -c "%a" $(dirname $SSH_AUTH_SOCK); echo $SSH_AUTH_SOCK'
      ssh ${world.options().join(' ')} one@127.0.0.1 'echo none: $SSH_AUTH_SOCK'
      ssh-agent -k >/dev/null
    `;
    const ended = await world.run('bash', ['-c', script]);
    const fingerprint =
      (await world.run('ssh-keygen', ['-l', '-f', join(world.dir, 'id')])).stdout.split(' ')[1] ?? '?';
    const [key = '', mode, path = '', none] = ended.stdout.split('\n');
    assert.ok(key.includes(fingerprint), ended.stdout + ended.stderr);
    assert.equal(mode, '700');
    assert.equal(none, 'none:');
    for (const end = Date.now() + 10_000; ; await sleep(50)) {
      if ((await world.run('test', ['-e', path])).code !== 0) break;
      assert.ok(Date.now() < end, 'the socket stays');
    }
  });

  test("what an editor does that works from afar: a script on bash's input, a server it leaves behind, and connections to that", async () => {
    await using client = await world.client();
    // It opens a shell without a terminal, sends a script, and looks for markers in the answer.
    const shell = gather(
      await new Promise<ClientChannel>((resolve, reject) =>
        client.client.exec('bash', (error, channel) => {
          if (error) return reject(error);
          channel.write(`
          echo "start$((1+1))"; uname -s; echo $SHELL
          mkdir -p ${world.dir}/s/editor
          nohup python3 -c '
import socket, threading, time
def serve(s):
    while True:
        c = s.accept()[0]
        c.sendall(c.recv(100).upper()); c.close()
t = socket.socket(); t.bind(("127.0.0.1", 0)); t.listen()
u = socket.socket(socket.AF_UNIX); u.bind("${world.dir}/s/editor/sock"); u.listen()
open("${world.dir}/s/editor/port", "w").write(str(t.getsockname()[1]))
threading.Thread(target=serve, args=(t,), daemon=True).start()
threading.Thread(target=serve, args=(u,), daemon=True).start()
time.sleep(20)
' </dev/null >/dev/null 2>&1 &
          while [ ! -s ${world.dir}/s/editor/port ]; do sleep 0.05; done
          echo "port=$(cat ${world.dir}/s/editor/port)="
          exit
`);
          channel.end();
          resolve(channel);
        }),
      ),
    );
    assert.equal(await shell.exit, 0);
    assert.match(shell.text(), /start2\nLinux\n\/bin\/bash\n/);
    const port = Number(/port=(\d+)=/.exec(shell.text())?.[1]);
    const overTcp = await new Promise<ClientChannel>((resolve, reject) =>
      client.client.forwardOut('127.0.0.1', 0, '127.0.0.1', port, (e, c) => (e ? reject(e) : resolve(c))),
    );
    overTcp.write('tcp');
    assert.equal(((await once(overTcp, 'data')) as [Buffer])[0].toString(), 'TCP');
    const overUnix = await new Promise<ClientChannel>((resolve, reject) =>
      client.client.openssh_forwardOutStreamLocal(`${world.dir}/s/editor/sock`, (e, c) => (e ? reject(e) : resolve(c))),
    );
    overUnix.write('unix');
    assert.equal(((await once(overUnix, 'data')) as [Buffer])[0].toString(), 'UNIX');
    const sftp = await client.sftp();
    const entries = await new Promise<string[]>((resolve, reject) =>
      sftp.readdir(`${world.dir}/s/editor`, (e, list) =>
        e ? reject(e) : resolve(list.map(({ filename }) => filename)),
      ),
    );
    assert.deepEqual(entries.toSorted(), ['port', 'sock']);
  });
});
