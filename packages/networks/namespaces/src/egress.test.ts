import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { enterOwnNetwork } from '@sylph/testkit';
import { networkOf, TestSprite } from './testing/fixture.ts';
import { Guest, removeCable } from './testing/guest.ts';
import { Internet, internet, ports } from './testing/internet.ts';
import { frameOf, type Frame } from './testing/frames.ts';
import { Party } from './testing/party.ts';
import { ipBatch, runTool } from './tools.ts';

enterOwnNetwork();

/** What a sprite without policy reaches, and what it never does. Two sprites in two slots, a host with servers, an internet. */
const network = networkOf();
const sprites = [new TestSprite(), new TestSprite()] as const;
let world: Internet;
let host: Party;
let one: Guest;
let two: Guest;

before(async () => {
  world = await Internet.open();
  host = new Party();
  for (const address of ['0.0.0.0', '::']) await host.serve(address, 7777);
  await network.open();
  one = await Guest.open('guest-1');
  two = await Guest.open('guest-2');
  for (const [guest, sprite] of [
    [one, sprites[0]],
    [two, sprites[1]],
  ] as const) {
    const attachment = await network.attach(sprite);
    assert.equal(attachment.kind, 'tap');
    if (attachment.kind === 'tap') await guest.plug(attachment.namespace);
  }
});

after(async () => {
  await one[Symbol.asyncDispose]();
  await two[Symbol.asyncDispose]();
  await host[Symbol.asyncDispose]();
  for (const { spriteId } of sprites) await network.detach(spriteId);
  await network.close({ vmsRemain: false });
  await world[Symbol.asyncDispose]();
  await removeCable();
});

test('it reaches the internet in the name of the host, on both IP versions', async () => {
  assert.equal((await one.party.dial(internet.web4, ports.web)).greeting, `hello ${internet.host4}`);
  assert.equal((await one.party.dial(internet.web6, ports.web)).greeting, `hello ${internet.host6}`);
  assert.equal(await one.party.ask(internet.web4, ports.other, 'ping'), 'ping');
  assert.equal(await one.party.ask(internet.web6, ports.other, 'ping'), 'ping');
});

test('of the host it reaches nothing, by none of its addresses', async () => {
  const addresses = [
    '127.0.0.1',
    '::1',
    internet.host4,
    internet.host6,
    '198.18.0.1',
    'fd73:796c:7068:1::1',
    '10.0.0.2',
    '10.0.0.3',
    'fdf::2',
  ];
  for (const address of addresses) {
    // Its own loopback answers to loopback addresses: nobody there.
    assert.equal(await one.party.tries(address, 7777), 'ECONNREFUSED', address);
    assert.notEqual(await one.party.tries(address, 7777, 'udp'), 'reached', address);
  }
  assert.deepEqual(await host.received(), []);
});

test('the host serves who may: the same servers answer from elsewhere', async () => {
  assert.equal(await world.party.tries(internet.host4, 7777), 'reached');
  assert.equal(await world.party.tries(internet.host6, 7777), 'reached');
});

test('private, carrier-grade, link-local, metadata and documentation ranges are refused at once', async () => {
  for (const address of [...internet.private4, ...internet.private6]) {
    const started = performance.now();
    assert.equal(await one.party.tries(address, ports.web), 'ECONNREFUSED', address);
    assert.match(await one.party.tries(address, ports.other, 'udp'), /^E(HOSTUNREACH|ACCES)$/, address);
    assert.ok(performance.now() - started < 1_000, 'no program waits for it');
  }
});

test('other sprites are out of reach, by any of their addresses', async () => {
  await two.party.serve('0.0.0.0', 8080);
  for (const address of ['198.18.0.16', '198.18.0.17', 'fd73:796c:7068:1::10', 'fd73:796c:7068:1::11'])
    assert.equal(await one.party.tries(address, 8080), 'ECONNREFUSED', address);
});

test('nobody outside begins a connection to a sprite', async () => {
  // The internet has a route to the slots, as a neighbour of the host may make himself one.
  await ipBatch(
    [`route add 198.18.0.0/19 via ${internet.host4}`, `route add 10.0.0.0/24 via ${internet.host4}`],
    'internet',
  );
  await one.party.serve('0.0.0.0', 8081);
  const attempts = [
    ...['198.18.0.16', '10.0.0.1'].flatMap((address) => [
      world.party.tries(address, 8081),
      world.party.tries(address, 8081, 'udp'),
    ]),
    // The host itself does not either: only the channel leads into a sprite.
    host.tries('198.18.0.16', 8081),
  ];
  for (const outcome of await Promise.all(attempts)) assert.notEqual(outcome, 'reached');
});

test('DNS goes to the forwarder, from either address, over UDP and TCP, and nowhere else', async () => {
  world.names.set('example.com', { addresses: [internet.web4, internet.web6], ttlS: 60 });
  for (const server of ['10.0.0.2', '10.0.0.3', '[fdf::2]']) {
    assert.deepEqual(await one.party.resolve('example.com', 'A', server), [internet.web4]);
    assert.deepEqual(await one.party.resolve('example.com', 'AAAA', server), [internet.web6]);
  }
  assert.deepEqual(await one.party.resolveOverTcp('example.com'), [internet.web4]);
  // A guest of user-mode networking that was there before knows this address under another hardware address.
  await ipBatch(['neigh replace 10.0.0.3 lladdr 52:55:0a:00:00:03 dev spr0 nud permanent'], 'guest-2');
  assert.deepEqual(await two.party.resolve('example.com', 'A', '10.0.0.3'), [internet.web4]);
  for (const port of [ports.dns, ports.dot])
    for (const address of [internet.nameServer, internet.web6]) {
      assert.equal(await one.party.tries(address, port), 'ECONNREFUSED');
      assert.notEqual(await one.party.tries(address, port, 'udp'), 'reached');
    }
  assert.deepEqual(
    (await world.party.received()).filter((text) => !text.startsWith('ping ')),
    [],
  );
});

test('questions fill no connection table but that of their own slot', async () => {
  const tracked = async (): Promise<number> =>
    Number(await fs.readFile('/proc/sys/net/netfilter/nf_conntrack_count', 'utf8'));
  world.names.set('example.com', { addresses: [internet.web4, internet.web6], ttlS: 60 });
  await one.party.resolve('example.com');
  const before = await tracked();
  for (let round = 0; round < 20; round++) {
    for (const server of ['10.0.0.2', '[fdf::2]']) await one.party.resolve('example.com', 'A', server);
    await one.party.resolveOverTcp('example.com');
  }
  assert.ok((await tracked()) - before < 10, `${(await tracked()) - before} more`);
});

test('frames from other addresses than its own, and other protocols, go nowhere', async () => {
  const frames: [string, Frame][] = [
    ['another IPv4 address', { source: '10.0.0.9' }],
    ['the other slot', { source: '198.18.0.17' }],
    ['the gateway itself', { source: '10.0.0.2' }],
    ['another hardware address', { mac: '02:73:79:6c:70:69' }],
    ['a loopback address', { source: '127.0.0.1' }],
    ['an IP within IP', { protocol: 4 }],
    ['IPv6 within IPv4', { protocol: 41 }],
    ['GRE', { protocol: 47 }],
  ];
  const before = (await world.party.received()).length;
  const outside = await forwardedBy('sylph0-0');
  one.send(frameOf({ text: 'honest' }));
  for (const [text, frame] of frames) one.send(frameOf({ ...frame, text }));
  // What is sent after them has arrived: so would they have.
  one.send(frameOf({ text: 'honest too' }));
  // Two datagrams, and two refusals of their echoes, for nobody is there to hear them.
  await until(async () => (await forwardedBy('sylph0-0')) >= outside + 4);
  const got = (await world.party.received()).slice(before);
  assert.deepEqual(got, [`honest from ${internet.host4}`, `honest too from ${internet.host4}`]);
  assert.equal((await forwardedBy('sylph0-0')) - outside, 4, 'nothing else came out of the slot');
});

test('what was denied is told, counted, with its reason, and once', async () => {
  const sprite = sprites[1];
  await network.takeDenials(sprite.spriteId);
  await two.party.tries(internet.private4[4], 80);
  await two.party.tries(internet.private4[4], 80);
  await two.party.tries(internet.nameServer, 53);
  await two.party.tries(internet.private6[0], 4242, 'udp');
  const denials = await network.takeDenials(sprite.spriteId);
  const short = denials.map(({ kind, target, protocol, port, reason, count }) => [
    kind,
    target,
    protocol,
    port,
    reason,
    count,
  ]);
  assert.deepEqual(
    short.toSorted((a, b) => String(a[1]).localeCompare(String(b[1]))),
    [
      ['address', internet.private4[4], 'tcp', 80, 'special-range', 2],
      ['address', internet.nameServer, 'tcp', 53, 'foreign-dns', 1],
      ['address', internet.private6[0], 'udp', 4242, 'special-range', 1],
    ],
  );
  assert.deepEqual(await network.takeDenials(sprite.spriteId), []);
});

test('a flood of new connections is held back in its own slot, and the neighbour does not notice', async () => {
  const before = await forwardedBy('sylph0-0');
  for (let index = 0; index < 4_000; index++) one.send(frameOf({ sourcePort: 2_000 + index, port: 9, text: 'flood' }));
  one.send(frameOf({ protocol: 47 }));
  const outcome = await two.party.tries(internet.web4, ports.web);
  assert.equal(outcome, 'reached');
  await until(async () =>
    (await network.takeDenials(sprites[0].spriteId)).some(({ protocol }) => protocol === 'gre' || protocol === '47'),
  );
  const out = (await forwardedBy('sylph0-0')) - before;
  assert.ok(out >= 1_000 && out < 3_500, `${out} got out`);
});

/** Packets that came out of a slot. */
async function forwardedBy(link: string): Promise<number> {
  const [{ stats64 }] = JSON.parse(await runTool('ip', ['-j', '-s', 'link', 'show', link])) as [
    { stats64: { rx: { packets: number } } },
  ];
  return stats64.rx.packets;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('it did not happen');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
