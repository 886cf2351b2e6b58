import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import * as z from 'zod';
import { QmpClient, type QmpEvent } from './qmp.ts';

const greeting = '{"QMP": {"version": {}, "capabilities": []}}\r\n';
type Answer = (command: { execute: string; id: number; arguments: unknown }, say: (text: string) => void) => void;

/** A QMP server that answers as `answer` says; capabilities are granted. */
async function serve(answer: Answer, options: { greeting?: string } = {}): Promise<{ path: string } & AsyncDisposable> {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'sylph-qmp-'));
  const socketPath = path.join(dir, 'qmp');
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.write(options.greeting ?? greeting);
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      for (let newline = text.indexOf('\n'); newline >= 0; newline = text.indexOf('\n')) {
        const command = JSON.parse(text.slice(0, newline)) as Parameters<Answer>[0];
        text = text.slice(newline + 1);
        if (command.execute === 'qmp_capabilities') socket.write(`{"return": {}, "id": ${command.id}}\r\n`);
        else answer(command, (reply) => socket.write(reply));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  return {
    path: socketPath,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      fs.rmSync(dir, { recursive: true });
    },
  };
}

const connect = async (socketPath: string, deadlineMs = 5_000): Promise<QmpClient> =>
  await QmpClient.connect(socketPath, { deadlineMs, signal: new AbortController().signal });

test('replies find their commands in any order and any chunking', async () => {
  await using server = await serve((command, say) => {
    if (command.execute === 'second')
      for (const piece of [
        '{"ret',
        'urn": "two", "id": ',
        `${command.id}`,
        '}\r\n{"return": "one", "id": ',
        `${command.id - 1}}\r\n`,
      ])
        say(piece);
  });
  const client = await connect(server.path);
  const [one, two] = await Promise.all([client.command('first'), client.query(z.string(), 'second')]);
  assert.deepEqual([one, two], ['one', 'two']);
  client.close();
});

test('waits for a socket that does not exist yet', async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'sylph-qmp-'));
  const late = path.join(dir, 'late');
  const pending = connect(late);
  await using server = await serve((command, say) => say(`{"return": 1, "id": ${command.id}}\r\n`));
  fs.symlinkSync(server.path, late);
  const client = await pending;
  assert.equal(await client.command('x'), 1);
  client.close();
  fs.rmSync(dir, { recursive: true });
});

test('an error of QEMU names the command', async () => {
  await using server = await serve((command, say) =>
    say(`{"error": {"class": "GenericError", "desc": "no such thing"}, "id": ${command.id}}\r\n`),
  );
  const client = await connect(server.path);
  await assert.rejects(client.command('do-it'), { code: 'vm_failed', message: 'do-it: no such thing' });
  client.close();
});

test('a reply of another shape is an error', async () => {
  await using server = await serve((command, say) => say(`{"return": {"status": 7}, "id": ${command.id}}\r\n`));
  const client = await connect(server.path);
  await assert.rejects(client.query(z.object({ status: z.string() }), 'query-status'), { code: 'vm_failed' });
  client.close();
});

test('a command that is not answered runs into its deadline, its late answer is dropped', async () => {
  let late = (): void => {};
  await using server = await serve((command, say) => {
    if (command.execute === 'slow') late = () => say(`{"return": 1, "id": ${command.id}}\r\n`);
    else say(`{"return": 2, "id": ${command.id}}\r\n`);
  });
  const client = await connect(server.path);
  await assert.rejects(client.command('slow', {}, { deadlineMs: 30 }), {
    code: 'vm_failed',
    message: /did not answer slow in 30 ms/,
  });
  late();
  assert.equal(await client.command('quick'), 2);
  client.close();
});

test('what is no QMP, or a line without end, breaks the connection and every command under way', async () => {
  for (const text of ['hello\r\n', '[]\r\n', `"${'x'.repeat(2 << 20)}`]) {
    await using server = await serve((_, say) => say(text));
    const client = await connect(server.path);
    await assert.rejects(client.command('x'), { code: 'vm_failed' });
    await client.closed;
    await assert.rejects(client.command('y'), { code: 'vm_failed' });
  }
});

test('no greeting is an error at the deadline', async () => {
  await using server = await serve(() => {}, { greeting: '' });
  await assert.rejects(connect(server.path, 50), { code: 'vm_failed', message: /no QMP greeting/ });
});

test('events reach listeners until they leave', async () => {
  const events: QmpEvent[] = [];
  await using server = await serve((command, say) =>
    say(`{"event": "STOP", "timestamp": {}}\r\n{"return": 1, "id": ${command.id}}\r\n`),
  );
  const client = await connect(server.path);
  const leave = client.onEvent((event) => events.push(event));
  await client.command('x');
  leave();
  await client.command('x');
  assert.deepEqual(
    events.map((event) => event.name),
    ['STOP'],
  );
  client.close();
});
