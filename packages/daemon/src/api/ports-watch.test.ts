import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { SpritesClient } from '@fly/sprites';
import type { GuestPort } from '@sylph/model';
import fc from 'fast-check';
import { differences } from './port-messages.ts';
import { useAgentApi } from './testing/agent-api.ts';
import type { AgentService } from './testing/agent-service.ts';
import { type ApiFixture, stdin, type Json, type Message } from './testing/fixture.ts';

const listen = `import socket,sys
s=socket.create_server(('127.0.0.1',0))
print(s.getsockname()[1],flush=True)
sys.stdin.readline()
s.close()
print('closed',flush=True)
sys.stdin.readline()`;

const isAbout =
  (type: string, port: number) =>
  (message: Message): boolean =>
    !Buffer.isBuffer(message) && message['type'] === type && message['port'] === port;

describe('ports', () => {
  let api: ApiFixture<AgentService>;

  useAgentApi(async (opened) => {
    api = opened;
    await api.sprite();
  });

  it('are listed and their changes told, with the process that holds them', async () => {
    const there = createServer().listen(0, '127.0.0.1');
    await once(there, 'listening');
    const { port } = there.address() as AddressInfo;
    const watch = api.socket('/v1/sprites/one/ports/watch');
    await watch.until((messages) => messages.length > 0);
    const [list] = watch.messages as [Json];
    assert.equal(list.type, 'port_list');
    assert.deepEqual(
      list.ports.filter((each: Json) => each.port === port),
      [{ type: 'port_opened', port, address: '127.0.0.1', pid: process.pid }],
    );
    // A second watch shares the first one's.
    const other = api.socket('/v1/sprites/one/ports/watch');
    await other.until((messages) => messages.length > 0);
    there.close();
    for (const each of [watch, other]) {
      await each.until((messages) => messages.some(isAbout('port_closed', port)));
      each.raw.close();
    }
    assert.equal(api.service.leases, 0);
  });

  it('of a session are told on its sockets, until it ends', async () => {
    const query = new URLSearchParams({ stdin: 'true' });
    for (const word of ['python3', '-c', listen]) query.append('cmd', word);
    const socket = api.socket(`/v1/sprites/one/exec?${query.toString()}`);
    await socket.until((messages) => messages.some((each) => Buffer.isBuffer(each)));
    const port = Number(
      socket.messages
        .find((each) => Buffer.isBuffer(each))
        ?.subarray(1)
        .toString(),
    );
    await socket.until((messages) => messages.some(isAbout('port_opened', port)));
    const opened = socket.messages.find(isAbout('port_opened', port)) as Json;
    assert.deepEqual([opened.address, typeof opened.pid, opened.session], ['127.0.0.1', 'number', undefined]);
    socket.send(stdin('\n'));
    await socket.until((messages) => messages.some(isAbout('port_closed', port)));
    socket.send(stdin('\n'));
    assert.equal((await socket.closed).code, 1000);
    const own = socket.messages.filter((each) => !Buffer.isBuffer(each) && String(each['type']).startsWith('port'));
    assert.equal(own.length, 2);
  });

  it('are heard by the official client', async () => {
    const client = new SpritesClient(api.token, { baseURL: api.url });
    const watcher = await client.sprite('one').watchPorts();
    const { value: list } = (await watcher[Symbol.asyncIterator]().next()) as { value: Json };
    assert.equal(list.type, 'port_list');
    const own = Number(new URL(api.url).port);
    assert.ok(list.ports.some((each: Json) => each.port === own && each.pid === process.pid));
    watcher.close();
  });

  it('refuses before the upgrade what can be known by then', async () => {
    assert.equal((await api.socket('/v1/sprites/none/ports/watch').opened).status, 404);
    assert.equal((await api.json('GET', '/v1/sprites/one/ports/watch')).status, 400);
  });

  it('differ by what was opened and closed: applied in order they lead from one look to the next', () => {
    const port = fc.record({
      port: fc.integer({ min: 1, max: 5 }),
      address: fc.constant('127.0.0.1'),
      pid: fc.integer({ min: 1, max: 2 }),
    });
    const look = fc
      .array(port)
      .map((all) => new Map(all.map((each): [string, GuestPort] => [String(each.port), each])));
    fc.assert(
      fc.property(look, look, (before, now) => {
        const state = new Map([...before.values()].map((each) => [each.port, each.pid]));
        for (const change of differences(before, now)) {
          assert.equal(state.has(change.port), change.type === 'port_closed');
          if (change.type === 'port_closed') state.delete(change.port);
          else state.set(change.port, change.pid);
        }
        assert.deepEqual(state, new Map([...now.values()].map((each) => [each.port, each.pid])));
      }),
    );
  });
});
